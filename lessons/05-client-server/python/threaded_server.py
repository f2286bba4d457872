"""The usual example: a TLS server with a thread for each client. It answers each frame with itself.

    python threaded_server.py CHAIN.PEM KEY.PEM
"""

import socket
import ssl
import struct
import sys
import threading


# ANCHOR: server
def serve(client):
    with client:
        while header := client.recv(4):
            (length,) = struct.unpack(">I", header)
            client.sendall(header + client.recv(length))


def main(chain, key):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print("listens on", listener.getsockname()[1], flush=True)
        with context.wrap_socket(listener, server_side=True) as tls:
            while True:
                client, _ = tls.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=serve, args=(client,), daemon=True).start()
# ANCHOR_END: server


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python threaded_server.py CHAIN.PEM KEY.PEM")
    main(*sys.argv[1:])
