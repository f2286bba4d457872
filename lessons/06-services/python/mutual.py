"""Call a service with a client certificate, with nothing but Python's standard library.

    python mutual.py PORT PATH CA.PEM [CHAIN.PEM KEY.PEM]
"""

import http.client
import socket
import ssl
import sys

NAME = "ledger.bank.test"


# ANCHOR: call
def call(port, path, ca, own):
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    if own:
        context.load_cert_chain(*own)
    connection = http.client.HTTPSConnection(NAME, port, context=context, timeout=5)
    # The name isn't in the DNS, so connect to 127.0.0.1 and check the name in TLS.
    tcp = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sock = context.wrap_socket(tcp, server_hostname=NAME)
    connection.request("GET", path)
    # Without a certificate, the refusal comes here, and not in the handshake.
    answer = connection.getresponse()
    return answer.status, answer.read(4096).decode()
# ANCHOR_END: call


if __name__ == "__main__":
    if len(sys.argv) not in (4, 6):
        sys.exit(f"expected PORT PATH CA [CHAIN KEY], came {len(sys.argv) - 1} arguments")
    status, body = call(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
    print(status, body)
