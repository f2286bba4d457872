"""The lesson's messages in Python: sealed messages, passwords, HPKE and signatures.

    python sealed.py seal|open|password|hpke-seal|hpke-open|sign|verify < numbers.json

Reads one JSON object of hexadecimal strings, prints the result in hexadecimal. Written from the formats
in the documentation of the Rust modules.
"""

import hmac
import json
import os
import sys

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


# ANCHOR: sealed
def context(parts, kind=0):
    """Each part behind its length in 8 bytes, so that no two lists of parts are the same bytes.

    The byte before tells contexts of an application (0) from those of the library itself.
    """
    return bytes([kind]) + b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def seal(key, key_id, parts, text):
    return seal_bound(key, key_id, os.urandom(12), context(parts), text)


def seal_bound(key, key_id, nonce, bound, text):
    header = b"\x01" + key_id
    return header + nonce + AESGCM(key).encrypt(nonce, text, header + bound)


def open_sealed(key, parts, message):
    return open_bound(key, context(parts), message)


def open_bound(key, bound, message):
    if len(message) < 37:
        raise ValueError(f"expected at least 37 bytes, got {len(message)}")
    header, nonce, sealed = message[:9], message[9:21], message[21:]
    if header[0] != 1:
        raise ValueError(f"at byte 0: expected version 1, got {header[0]}")
    return AESGCM(key).decrypt(nonce, sealed, header + bound)
# ANCHOR_END: sealed


def open_password(password, parts, message):
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    header, sealed = message[:61], message[61:]
    if len(header) < 61 or header[0] != 1:
        raise ValueError("expected a message under a password, version 1")
    memory, passes, lanes = (int.from_bytes(header[at : at + 4], "big") for at in (1, 5, 9))
    if memory > 128 * 1024 or passes > 4 or lanes > 4:
        raise ValueError(f"expected a cost within the limit, got {memory} KiB, {passes}, {lanes}")
    kdf = Argon2id(salt=header[13:29], length=64, iterations=passes, lanes=lanes, memory_cost=memory)
    made = kdf.derive(password)
    if not hmac.compare_digest(made[32:], header[29:]):
        raise InvalidTag
    return open_bound(made[:32], context([header, context(parts)], kind=3), sealed)


def hpke():
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def hpke_seal(public, parts, text, kind=0):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    return b"\x01" + hpke().encrypt(text, X25519PublicKey.from_public_bytes(public), context(parts, kind))


def hpke_open(private, parts, message, kind=0):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    if message[:1] != b"\x01":
        raise ValueError("expected the suite 1")
    return hpke().decrypt(message[1:], X25519PrivateKey.from_private_bytes(private), context(parts, kind))


def signed(parts, text, kind=0):
    return context([context(parts, kind), text], kind=4)


USES = ["seal", "open", "password", "hpke-seal", "hpke-open", "sign", "verify"]


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in USES:
        sys.exit(f"usage: python sealed.py {'|'.join(USES)}, with hexadecimal values in a JSON object on standard input")
    try:
        given = json.load(sys.stdin)
    except ValueError as error:
        sys.exit(f"expected a JSON object on standard input: {error}")
    parts = [bytes.fromhex(part) for part in given.get("context", [])]
    value = {name: bytes.fromhex(text) for name, text in given.items() if name != "context"}
    try:
        match sys.argv[1]:
            case "seal":
                result = seal(value["key"], value["id"], parts, value["text"])
            case "open":
                result = open_sealed(value["key"], parts, value["message"])
            case "password":
                result = open_password(value["password"], parts, value["message"])
            case "hpke-seal":
                result = hpke_seal(value["public"], parts, value["text"])
            case "hpke-open":
                result = hpke_open(value["private"], parts, value["message"])
            case "sign":
                key = Ed25519PrivateKey.from_private_bytes(value["seed"])
                result = key.sign(signed(parts, value["text"]))
            case "verify":
                key = Ed25519PublicKey.from_public_bytes(value["public"])
                key.verify(value["signature"], signed(parts, value["text"]))
                result = b""
    except (InvalidTag, InvalidSignature) as error:
        print(type(error).__name__, file=sys.stderr)
        return 1
    except KeyError as missing:
        sys.exit(f"expected a member {missing} for {sys.argv[1]}")
    print(result.hex())
    return 0


if __name__ == "__main__":
    sys.exit(main())
