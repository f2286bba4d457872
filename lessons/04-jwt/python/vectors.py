"""Computes the byte vectors of the lesson's tokens and keys once more, and compares.

    python vectors.py ../take-home/tests/vectors.json

Needs PyJWT and Python's cryptography.
"""

import base64
import hashlib
import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def private_key(vector):
    secret = bytes.fromhex(vector["secret"])
    match vector["alg"]:
        case "HS256":
            return secret
        case "EdDSA":
            return Ed25519PrivateKey.from_private_bytes(secret)
        case "ES256":
            return derive_private_key(int.from_bytes(secret, "big"), SECP256R1())


def key(vector):
    """The private key as a key store keeps it, and the public one as an issuer publishes it."""
    private = private_key(vector)
    pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    algorithm = jwt.get_algorithm_by_name(vector["alg"])
    jwk = algorithm.to_jwk(private.public_key(), as_dict=True)
    members = {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}
    return {"pkcs8": pkcs8.hex(), "jwk": members | {"use": "sig", "alg": vector["alg"], "kid": vector["kid"]}}


def thumbprint(vector):
    hashed = hashlib.sha256(bytes.fromhex(vector["certificate"])).digest()
    return {"thumbprint": base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()}


def token(vector):
    header = {"typ": vector["typ"], "alg": vector["alg"], "kid": vector["kid"]}
    return {"token": jwt.encode(vector["claims"], private_key(vector), vector["alg"], header, sort_headers=False)}


KINDS = {"key": key, "thumbprint": thumbprint, "token": token}


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
