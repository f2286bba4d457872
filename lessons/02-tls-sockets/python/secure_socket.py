"""A secure socket, as the usual guides make it with Python's standard library, made fit for use.

    python secure_socket.py connect PORT --name NAME --ca ca.pem [--max-version 1.2]
    python secure_socket.py serve --chain chain.pem --key key.pem [--max-version 1.2]

`connect` sends one line and prints the answer. `serve` prints its port, then answers each line with
itself until its standard input is closed.

What ssl does by default, and what is added here:

- `create_default_context(cafile=...)` checks the chain and the name; `_create_unverified_context()`,
  which the web suggests when that fails, checks neither
- TLS 1.2 is the minimum of Python 3.11; here it is 1.3, unless asked for
- no timeout is set by default, and a handshake without one waits forever
- the end of the data without close_notify is an error, and stays one
  (`suppress_ragged_eofs=True`, the default of wrap_socket, makes it an ordinary end)
"""

import argparse
import socket
import ssl
import sys
import threading

PROTOCOL = "course-echo/1"
MAX_LINE = 256


def versions(context, maximum):
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if maximum == "1.2" else ssl.TLSVersion.TLSv1_3
    if maximum == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2


# ANCHOR: connect
def connect(port, name, ca, maximum):
    context = ssl.create_default_context(cafile=ca)
    versions(context, maximum)
    # Python before 3.11.4, and 3.10.11, ignored such an end whatever wrap_socket was told.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.set_alpn_protocols([PROTOCOL])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as tcp:
        with context.wrap_socket(tcp, server_hostname=name, suppress_ragged_eofs=False) as tls:
            if tls.selected_alpn_protocol() != PROTOCOL:
                raise ssl.SSLError(f"expected {PROTOCOL}, the server agreed on {tls.selected_alpn_protocol()}")
            stream = tls.makefile("rw", encoding="utf-8", newline="\n")
            stream.write("hello\n")
            stream.flush()
            print(tls.version(), stream.readline(MAX_LINE).strip())
            tls.unwrap()
# ANCHOR_END: connect


def answer(context, tcp):
    try:
        tcp.settimeout(5)
        with context.wrap_socket(tcp, server_side=True, suppress_ragged_eofs=False) as tls:
            stream = tls.makefile("rw", encoding="utf-8", newline="\n")
            while line := stream.readline(MAX_LINE):
                stream.write(line)
                stream.flush()
            tls.unwrap()
    except (OSError, ValueError):
        pass  # a client that refuses the certificate or goes away


def serve(chain, key, maximum):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    versions(context, maximum)
    context.set_alpn_protocols([PROTOCOL])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept():
        while True:
            tcp, _ = listener.accept()
            threading.Thread(target=answer, args=(context, tcp), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


def main():
    parser = argparse.ArgumentParser(description="A secure socket with ssl")
    commands = parser.add_subparsers(dest="command", required=True)
    client = commands.add_parser("connect")
    client.add_argument("port", type=int)
    client.add_argument("--name", required=True)
    client.add_argument("--ca", required=True)
    server = commands.add_parser("serve")
    server.add_argument("--chain", required=True)
    server.add_argument("--key", required=True)
    for command in (client, server):
        command.add_argument("--max-version", choices=["1.2", "1.3"], default="1.3")
    arguments = parser.parse_args()
    try:
        if arguments.command == "serve":
            serve(arguments.chain, arguments.key, arguments.max_version)
        else:
            connect(arguments.port, arguments.name, arguments.ca, arguments.max_version)
    except ssl.SSLCertVerificationError as error:
        print(f"SSLCertVerificationError: {error.verify_message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
