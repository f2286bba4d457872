"""The usual example: symmetric encryption of a message with Fernet.

    python fernet.py
"""

from cryptography.fernet import Fernet, InvalidToken

# ANCHOR: fernet
key = Fernet.generate_key()
token = Fernet(key).encrypt(b"pay 100 to bob")
text = Fernet(key).decrypt(token, ttl=60)
# ANCHOR_END: fernet

assert text == b"pay 100 to bob"
print(len(token), "characters for", len(text), "bytes")
try:
    Fernet(Fernet.generate_key()).decrypt(token)
except InvalidToken:
    print("another key: InvalidToken")
