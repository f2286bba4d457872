"""A small HTTPS server from Python's standard library, for our client to talk to.

    python https_server.py --chain chain.pem --key key.pem [--max-version 1.2]

Prints its port on the first line, then serves until its standard input is closed.
"""

import argparse
import http.server
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"owner":"alice","coins":100}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that refuses the certificate is no reason for a traceback."""


def main():
    parser = argparse.ArgumentParser(description="An HTTPS server on 127.0.0.1")
    parser.add_argument("--chain", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--max-version", choices=["1.2", "1.3"], default="1.3")
    arguments = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.chain, arguments.key)
    if arguments.max_version == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = Server(("127.0.0.1", 0), Handler)
    # The handshake happens on the first read, in the connection's own thread, not in accept.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
