"""Computes the byte vectors of the lesson's formats once more, and compares.

    python vectors.py ../take-home/tests/vectors.json

Each vector holds what goes in, random bytes included, and what must come out. Texts stand as they are, bytes
in hexadecimal. Boxes are only opened: HPKE takes no random bytes from outside. Needs Python's cryptography.
"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sealed import context, hpke_open, seal_bound, signed

RAW = (Encoding.Raw, PublicFormat.Raw)
CHUNK = 64 * 1024


def parts(vector):
    return [part.encode() for part in vector["context"]]


def value(vector, name):
    return bytes.fromhex(vector[name])


def encoded_context(vector):
    return {"encoded": context(parts(vector)).hex()}


def message(vector):
    key, key_id, nonce = (value(vector, name) for name in ("key", "key_id", "nonce"))
    return {"message": seal_bound(key, key_id, nonce, context(parts(vector)), vector["text"].encode()).hex()}


def password(vector):
    memory, passes, lanes = (vector[name] for name in ("memory", "passes", "lanes"))
    kdf = Argon2id(salt=value(vector, "salt"), length=64, iterations=passes, lanes=lanes, memory_cost=memory)
    made = kdf.derive(vector["password"].encode())
    numbers = b"".join(number.to_bytes(4, "big") for number in (memory, passes, lanes))
    header = b"\x01" + numbers + value(vector, "salt") + made[32:]
    bound = context([header, context(parts(vector))], kind=3)
    sealed = seal_bound(made[:32], b"password", value(vector, "nonce"), bound, vector["text"].encode())
    return {"message": (header + sealed).hex()}


def wrapped(vector, kind):
    """The key of one envelope or one stream, sealed by a key of the ring."""
    key, key_id, nonce, own = (value(vector, name) for name in ("key", "key_id", "key_nonce", "own_key"))
    return seal_bound(key, key_id, nonce, context([context(parts(vector))], kind), own)


def envelope(vector):
    sealed_key = wrapped(vector, 1)
    own, nonce = value(vector, "own_key"), value(vector, "nonce")
    sealed = seal_bound(own, b"data-key", nonce, context(parts(vector)), vector["text"].encode())
    return {"envelope": (len(sealed_key).to_bytes(2, "big") + sealed_key + sealed).hex()}


def stream(vector):
    """Two chunks. The text of the first is chosen so that its ciphertext is zeros: so the file stays short."""
    sealed_key, prefix = wrapped(vector, 2), value(vector, "nonce")
    cipher, bound = AESGCM(value(vector, "own_key")), b"\x01" + prefix

    def nonce(number, last):
        return prefix + number.to_bytes(4, "big") + bytes([last])

    first = cipher.encrypt(nonce(0, 0), bytes(CHUNK), None)[:CHUNK]
    sealed = [cipher.encrypt(nonce(0, 0), first, bound), cipher.encrypt(nonce(1, 1), vector["last_text"].encode(), bound)]
    if any(sealed[0][:CHUNK]):
        raise ValueError("expected zeros")
    return {
        "header": (b"\x01" + len(sealed_key).to_bytes(2, "big") + sealed_key + prefix).hex(),
        "first_tag": sealed[0][CHUNK:].hex(),
        "last_chunk": sealed[1].hex(),
        "sha256_of_text": hashlib.sha256(first + vector["last_text"].encode()).hexdigest(),
    }


def box(vector):
    return {"text": hpke_open(value(vector, "private"), parts(vector), value(vector, "box")).decode()}


def signature(vector):
    key = Ed25519PrivateKey.from_private_bytes(value(vector, "seed"))
    made = signed(parts(vector), vector["text"].encode())
    public = key.public_key().public_bytes(*RAW)
    return {"signed_bytes": made.hex(), "public": public.hex(), "signature": key.sign(made).hex()}


def signed_box(vector):
    """Which suite, for whom, in which context: under a signature; from whom: under the seal."""
    alice, encoded = Ed25519PrivateKey.from_private_bytes(value(vector, "seed")), context(parts(vector))
    made = signed([b"\x01", value(vector, "public"), encoded], vector["text"].encode(), kind=5)
    opened = hpke_open(value(vector, "private"), [alice.public_key().public_bytes(*RAW), encoded], value(vector, "box"), 5)
    return {"signature": alice.sign(made).hex(), "text": opened[64:].decode(), "sealed": opened.hex()}


KINDS = {
    "context": encoded_context,
    "message": message,
    "password message": password,
    "envelope": envelope,
    "stream": stream,
    "box": box,
    "signature": signature,
    "signed box": signed_box,
}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python vectors.py FILE")
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)
    wrong = 0
    for kind, work in KINDS.items():
        for number, vector in enumerate(vectors[kind], 1):
            differs = [name for name, made in work(vector).items() if vector.get(name) != made]
            wrong += bool(differs)
            print(f"{kind} {number}: {'differs in ' + ', '.join(differs) if differs else 'the same'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
