"""PyJWT as a peer: verdicts, tokens and speed.

    python peer.py verdicts|verify|sign|bench < request.json

Reads one JSON object, prints one.
"""

import json
import sys
import time
import warnings

import jwt

# Short secrets are one of the cases.
warnings.filterwarnings("ignore", category=jwt.warnings.InsecureKeyLengthWarning)


def decode(token, key, given):
    # ANCHOR: decode
    return jwt.decode(
        token, key, algorithms=[given["algorithm"]], issuer=given["issuer"], audience=given["audience"]
    )
    # ANCHOR_END: decode


def key_of(given):
    if "jwk" in given:
        return jwt.PyJWK(given["jwk"]).key
    return bytes.fromhex(given["secret"])


def verdicts(given):
    """What the defaults say of each case: null, or the name of the error."""

    def verdict(case):
        try:
            decode(case["token"], bytes.fromhex(case["secret"]), given)
        except jwt.PyJWTError as error:
            return type(error).__name__
        return None

    return [verdict(case) for case in given["cases"]]


def sign(given):
    key = given["pem"] if "pem" in given else bytes.fromhex(given["secret"])
    return jwt.encode(given["claims"], key, algorithm=given["algorithm"], headers=given["header"])


def bench(given):
    """Tokens signed and verified per second, for half a second each."""

    def rate(work):
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < given["seconds"]:
            work()
            done += 1
        return done / (time.perf_counter() - started)

    token = sign(given)
    key = key_of(given)
    private = given["pem"] if "pem" in given else key
    if "pem" in given:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        private = load_pem_private_key(given["pem"].encode(), None)
    issue = rate(lambda: jwt.encode(given["claims"], private, given["algorithm"], given["header"]))
    return [issue, rate(lambda: decode(token, key, given))]


USES = ["verdicts", "verify", "sign", "bench"]


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in USES:
        sys.exit(f"usage: python peer.py {'|'.join(USES)}, with a JSON object on standard input: the tests run it")
    given = json.load(sys.stdin)
    match sys.argv[1]:
        case "verdicts":
            answer = verdicts(given)
        case "verify":
            answer = decode(given["token"], key_of(given), given)
        case "sign":
            answer = sign(given)
        case "bench":
            answer = bench(given)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
