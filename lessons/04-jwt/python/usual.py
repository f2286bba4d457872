"""The usual example: a token with PyJWT.

    python usual.py
"""

import secrets
import time

import jwt

key = secrets.token_bytes(32)
now = int(time.time())

# ANCHOR: usual
token = jwt.encode({"sub": "alice", "exp": now + 600}, key, algorithm="HS256")
claims = jwt.decode(token, key, algorithms=["HS256"])
# ANCHOR_END: usual
assert claims["sub"] == "alice"

forever = jwt.encode({"sub": "alice"}, key, algorithm="HS256")
print("without exp, for", jwt.decode(forever, key, algorithms=["HS256"])["sub"])

# ANCHOR: strict
strict = {
    "algorithms": ["HS256"],
    "issuer": "login",
    "audience": "accounts",
    "options": {"require": ["iss", "aud", "sub", "iat", "exp", "jti"]},
}
# ANCHOR_END: strict
try:
    jwt.decode(forever, key, **strict)
except jwt.MissingRequiredClaimError as error:
    print("with everything required:", error)
