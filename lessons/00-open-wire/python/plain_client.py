"""Pay over plain TCP, with nothing but Python's standard library.

    python plain_client.py PORT NAME PASSWORD COINS PAYEE

Another language, the same open wire: a tap reads the password.
"""

import socket
import sys


# ANCHOR: client
def ask(stream, request):
    stream.write(request + "\n")
    stream.flush()
    answer = stream.readline(256)
    if not answer.endswith("\n"):
        raise ValueError("expected a whole line of at most 256 characters")
    return answer.strip()


def pay(port, name, password, coins, payee):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        stream = connection.makefile("rw", encoding="utf-8", newline="\n")
        return [ask(stream, f"LOGIN {name} {password}"), ask(stream, f"PAY {coins} {payee}")]
# ANCHOR_END: client


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(f"expected PORT NAME PASSWORD COINS PAYEE, came {len(sys.argv) - 1} arguments")
    for answer in pay(int(sys.argv[1]), *sys.argv[2:]):
        print(answer)
