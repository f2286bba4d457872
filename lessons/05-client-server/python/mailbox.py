"""The client of the sealed mailbox in Python, written from the page "The mailbox's protocol".

    python mailbox.py --ca CA.PEM --server HOST:PORT --name mailbox.test --home FOLDER register NAME
    python mailbox.py ... send NAME TO TEXT
    python mailbox.py ... read NAME
    python mailbox.py ... fingerprint NAME WHO
    python mailbox.py self-test [VECTORS]

An account is the file FOLDER/NAME.json: its password, its private key, the keys of others, and the counts
of letters. Needs the package cryptography, and a system with flock.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import ssl
import struct
import sys
import tempfile
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DEADLINE = 10
LONGEST_FRAME = 131_072
LONGEST_TEXT = 7_168


class Refused(ValueError):
    """An answer that says no."""

    def __init__(self, because, request):
        super().__init__(f"refused: {because} (request {request})")
        self.because = because


# ---- HPKE (RFC 9180): mode_auth, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, single shot ----

KEM = b"KEM" + struct.pack(">H", 0x0020)
AES_256_GCM = (2, 32)  # number of the AEAD, length of its key
AES_128_GCM = (1, 16)  # the self-test's alone


def extract(suite, salt, label, value):
    """LabeledExtract."""
    return hmac.digest(salt, b"HPKE-v1" + suite + label + value, "sha256")


def expand(suite, key, label, info, length):
    """LabeledExpand, for up to 32 bytes: one block of HKDF."""
    labeled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, labeled + b"\x01", "sha256")[:length]


def shared_secret(exchanged, encapsulated, recipient, sender):
    """The end of AuthEncap and AuthDecap: both secrets and all three public keys go in."""
    key = extract(KEM, b"", b"eae_prk", exchanged)
    return expand(KEM, key, b"shared_secret", encapsulated + recipient + sender, 32)


def key_schedule(secret, info, aead):
    """The cipher and the nonce of the first message. There is no PSK: both its parts are empty."""
    suite = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, aead[0])
    bound = b"\x02" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    key = extract(suite, secret, b"secret", b"")
    return AESGCM(expand(suite, key, b"key", bound, aead[1])), expand(suite, key, b"base_nonce", bound, 12)


def auth_seal(sender, recipient, info, text, ephemeral=None, aead=AES_256_GCM, aad=b""):
    """Seals for the public key `recipient` under the private key `sender`: encapsulated key, ciphertext, tag."""
    ephemeral = ephemeral or X25519PrivateKey.generate()
    encapsulated = public_bytes(ephemeral)
    public = X25519PublicKey.from_public_bytes(recipient)
    exchanged = ephemeral.exchange(public) + sender.exchange(public)
    secret = shared_secret(exchanged, encapsulated, recipient, public_bytes(sender))
    cipher, nonce = key_schedule(secret, info, aead)
    return encapsulated + cipher.encrypt(nonce, text, aad)


def auth_open(recipient, sender, info, box, aead=AES_256_GCM, aad=b""):
    """Opens with the private key `recipient` what came from the public key `sender`, or raises ValueError."""
    encapsulated, sealed = box[:32], box[32:]
    exchanged = b"".join(recipient.exchange(X25519PublicKey.from_public_bytes(key)) for key in (encapsulated, sender))
    secret = shared_secret(exchanged, encapsulated, public_bytes(recipient), sender)
    cipher, nonce = key_schedule(secret, info, aead)
    try:
        return cipher.decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise ValueError("the box does not open") from None


def public_bytes(private):
    return private.public_key().public_bytes_raw()


def self_test():
    """RFC 9180, appendix A.1.3, sequence number 0: the same but for AES-128-GCM and the aad."""
    info, text = b"Ode on a Grecian Urn", b"Beauty is truth, truth beauty"
    ephemeral, recipient, sender = (
        X25519PrivateKey.from_private_bytes(bytes.fromhex(key))
        for key in (
            "ff4442ef24fbc3c1ff86375b0be1e77e88a0de1e79b30896d73411c5ff4c3518",
            "fdea67cf831f1ca98d8e27b1f6abeb5b7745e9d35348b80fa407ff6958f9137e",
            "dc4a146313cce60a278a5323d321f051c5707e9c45ba21a3479fecdf76fc69dd",
        )
    )
    expected = (
        "23fb952571a14a25e3d678140cd0e5eb47a0961bb18afcf85896e5453c312e76"
        "5fd92cc9d46dbf8943e72a07e42f363ed5f721212cd90bcfd072bfd9f44e06b80fd17824947496e21b680c141b"
    )
    how = {"aead": AES_128_GCM, "aad": b"Count-0"}
    box = auth_seal(sender, public_bytes(recipient), info, text, ephemeral, **how)
    if box.hex() != expected or auth_open(recipient, public_bytes(sender), info, box, **how) != text:
        raise ValueError("HPKE is not as in RFC 9180, A.1.3")
    print("HPKE is as in RFC 9180, A.1.3")


def check_vectors(path):
    """The byte vectors that the Rust client is tested with: sealed here once more, and opened."""
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    for given in vectors["letter"]:
        sender, recipient, ephemeral = (
            X25519PrivateKey.from_private_bytes(bytes.fromhex(given[name]))
            for name in ("sender_private", "recipient_private", "ephemeral_private")
        )
        names, sealed = (given["from"], given["to"]), bytes.fromhex(given["sealed"])
        bound = letter_context(*names, given["id"])
        box = auth_seal(sender, public_bytes(recipient), bound, given["inside"].encode(), ephemeral)
        opened = open_letter(recipient, *names, public_bytes(sender), given["id"], sealed)
        if (bound.hex(), b"\x01" + box, opened) != (given["context"], sealed, (given["number"], given["text"])):
            raise ValueError("a letter is not as its vector says")
    for given in vectors["fingerprint"]:
        if fingerprint_of(given["name"], bytes.fromhex(given["public"])) != given["fingerprint"]:
            raise ValueError("a fingerprint is not as its vector says")
    print(f"letters and fingerprints are as in {plain(path)}")


# ---- Connection, frames, requests ----


# ANCHOR: frames
def connect(args):
    host, _, port = args.server.rpartition(":")
    tls = ssl.create_default_context(cafile=args.ca)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.set_alpn_protocols(["mailbox/1"])
    tcp = socket.create_connection((host.strip("[]"), port), DEADLINE)
    return tls.wrap_socket(tcp, server_hostname=args.name)


def send_frame(sock, value):
    body = json.dumps(value).encode()
    sock.settimeout(DEADLINE)
    sock.sendall(struct.pack(">I", len(body)) + body)


def receive_frame(sock):
    end = time.monotonic() + DEADLINE
    (length,) = struct.unpack(">I", receive(sock, 4, end))
    if length > LONGEST_FRAME:
        raise ValueError(f"expected a frame of at most {LONGEST_FRAME} bytes, got {length}")
    return json.loads(receive(sock, length, end).decode())
# ANCHOR_END: frames


def receive(sock, length, end):
    """Exactly so many bytes, before the end: a deadline for each piece alone lets a peer drip."""
    got = b""
    while len(got) < length:
        sock.settimeout(max(end - time.monotonic(), 0.001))
        piece = sock.recv(length - len(got))
        if not piece:
            raise ConnectionError("the server closed the connection before its answer")
        got += piece
    return got


@contextlib.contextmanager
def connected(args):
    with contextlib.closing(connect(args)) as sock:
        if sock.selected_alpn_protocol() != "mailbox/1":
            raise ValueError(f"expected the protocol mailbox/1, got {sock.selected_alpn_protocol()}")
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError, ValueError):
                sock.settimeout(1)
                sock.unwrap()  # close_notify


def request(sock, wanted, **members):
    """One request and its answer, which is of the kind `wanted`."""
    try:
        send_frame(sock, members)
        answer = receive_frame(sock)
    except OSError:
        sock.close()  # so that nothing waits for this connection a second time
        raise
    kind = take(answer, "is", str)
    if kind == "refused":
        raise Refused(plain(take(answer, "because", str)), plain(str(answer.get("request"))))
    if kind != wanted:
        raise ValueError(f"expected the answer {wanted}, got {plain(kind)}")
    return answer


@contextlib.contextmanager
def session(args, state):
    """Logs in, gives a function that asks with the token, and logs out."""
    with connected(args) as sock:
        login = request(sock, "tokens", do="log_in", name=args.account, password=state["password"])
        access, refresh = take(login, "access", str), take(login, "refresh", str)
        try:
            yield lambda wanted, **members: request(sock, wanted, token=access, **members)
        finally:
            with contextlib.suppress(OSError, ValueError):
                request(sock, "logged_out", do="log_out", token=access, refresh=refresh)


def take(value, member, kind):
    """A member of exactly this type: what comes from elsewhere can be anything."""
    if type(value) is not dict or type(value.get(member)) is not kind:
        raise ValueError(f"expected an object with the {kind.__name__} {member}")
    return value[member]


def number_in(value, member, least):
    number = take(value, member, int)
    if not least <= number < 1 << 64:
        raise ValueError(f"expected a number from {least} to 2^64 - 1, got another one")
    return number


def bytes_in(value, member):
    return base64.b64decode(take(value, member, str), validate=True)


def base64_text(value):
    return base64.b64encode(value).decode()


def checked_name(name):
    if not re.fullmatch("[a-z][a-z0-9-]{0,31}", name):
        raise ValueError(f"expected a name of 1 to 32 of a-z, 0-9 and -, a letter first, got {plain(name)}")
    return name


def plain(text):
    """For a terminal: no control characters, and one line."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


# ---- Letters and keys ----


# ANCHOR: seal
def context(*parts):
    """Each part behind its length in 8 bytes, so that no two lists of parts are the same bytes."""
    return b"\x00" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def letter_context(sender, recipient, message_id):
    return context(b"mailbox letter 1", sender.encode(), recipient.encode(), bytes.fromhex(message_id))


def seal_letter(private, sender, recipient, public, message_id, number, text):
    inside = json.dumps({"number": number, "text": text}).encode()
    return b"\x01" + auth_seal(private, public, letter_context(sender, recipient, message_id), inside)


def open_letter(private, sender, recipient, public, message_id, sealed):
    if sealed[:1] != b"\x01":
        raise ValueError("expected a box of version 1")
    inside = auth_open(private, public, letter_context(sender, recipient, message_id), sealed[1:])
    letter = json.loads(inside.decode())
    number, text = number_in(letter, "number", 1), take(letter, "text", str)
    if len(letter) != 2 or len(text.encode()) > LONGEST_TEXT:
        raise ValueError(f"expected a number and a text of at most {LONGEST_TEXT} bytes, and nothing else")
    return number, text
# ANCHOR_END: seal


def fingerprint_of(name, public):
    digest = hashlib.sha256(context(b"mailbox key 1", name.encode(), public)).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, 32, 4))


def key_of(ask, state, who):
    """The key that the server has for a name. Another one than the one that is kept is refused."""
    answer = ask("key", do="key", name=who)
    public = bytes_in(answer, "key")
    if take(answer, "name", str) != who or len(public) != 32:
        raise ValueError(f"expected the key of {who}, got another answer")
    kept = bytes.fromhex(state["keys"].get(who, ""))
    if kept and kept != public:
        before, now = fingerprint_of(who, kept), fingerprint_of(who, public)
        raise ValueError(f"the key of {who} changed from {before} to {now}: ask {who} which one is right, and trust that one")
    return public


def finding(seen, number, message_id):
    """Counts a letter: how many are missing before it, and how it stands to the others; None if it came before.

    A repetition has the same id. The same number alone can be a new letter, of a sender who was restored from a copy.
    """
    if message_id in seen["ids"]:
        return None
    seen["ids"] = seen["ids"][-4095:] + [message_id]
    if number > seen["largest"]:
        missing = number - seen["largest"] - 1
        if missing:
            seen["missing"].append([seen["largest"] + 1, number - 1])
        seen["largest"] = number
        return missing, ""
    for at, (first, last) in enumerate(seen["missing"]):
        if first <= number <= last:
            rest = [first, number - 1], [number + 1, last]
            seen["missing"][at : at + 1] = [pair for pair in rest if pair[0] <= pair[1]]
            return 0, ", late"
    return 0, ", WARNING: another letter had that number, so the sender was restored from a copy, or this is an old letter"


# ---- The account's file ----


def path_of(args):
    return os.path.join(args.home, f"{args.account}.json")


def load(args):
    try:
        with open(path_of(args), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise ValueError(f"there is no account {args.account} in {args.home}: register it first") from None


def save(args, state):
    """Replaces the file as a whole, and waits until it is on the disk."""
    handle, path = tempfile.mkstemp(prefix=f".{args.account}-", dir=args.home)  # mode 600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path, path_of(args))
    os.fsync(args.folder)


def private_key(state):
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(state["private"]))


# ---- Commands ----


def register(args):
    """The file is written first: if the answer is lost, the same command finishes the work."""
    new = not os.path.exists(path_of(args))
    if new:
        private = X25519PrivateKey.generate()
        state = {"password": secrets.token_urlsafe(32), "private": private.private_bytes_raw().hex()}
        save(args, state | {"keys": {args.account: public_bytes(private).hex()}, "sent": {}, "seen": {}})
    state = load(args)
    public = public_bytes(private_key(state))
    members = {"name": args.account, "password": state["password"], "key": base64_text(public)}
    try:
        with connected(args) as sock:
            request(sock, "registered", do="register", **members)
    except Refused as refused:
        # Unavailable: perhaps it was stored. This is the only copy of its key.
        if new and refused.because != "unavailable":
            os.remove(path_of(args))
        if new or refused.because != "taken":
            raise
        with session(args, state) as ask:  # taken, perhaps by this very account
            key_of(ask, state, args.account)
    print(f"{args.account}: {fingerprint_of(args.account, public)}")


NOT_SENT = "the letter was not sent, and this client keeps none"
UNKNOWN = "nobody knows whether the letter was stored, and this client keeps none: ask before you write it again"


def send(args):
    """After a lost connection it sends the very same message once more: the server stores it once."""
    state, to = load(args), checked_name(args.to)
    # Not from the command line, which everybody on the machine can read.
    args.text = input(f"Your letter to {to}, on one line: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
    if not args.text:
        raise ValueError("expected a text, got nothing: nothing was sent")
    if len(args.text.encode()) > LONGEST_TEXT:
        raise ValueError(f"expected a text of at most {LONGEST_TEXT} bytes, got {len(args.text.encode())}")
    message = None
    for last in (False, True):
        try:
            with session(args, state) as ask:
                message = message or new_message(args, state, ask)
                try:
                    ask("stored", do="send", to=to, **message)
                except Refused as refused:
                    if last or refused.because == "unavailable":
                        raise ValueError(f"{refused}: {UNKNOWN}") from refused
                    state["sent"][to] -= 1  # it is certainly not stored
                    save(args, state)
                    raise ValueError(f"{refused}: {NOT_SENT}") from refused
            break
        except Refused as refused:  # the login, or the key
            raise ValueError(f"{refused}: {UNKNOWN if message else NOT_SENT}") from refused
        except OSError as error:
            if last or not message:
                raise ValueError(f"{error}: {UNKNOWN if message else NOT_SENT}") from error
    print("stored")


def new_message(args, state, ask):
    """Counts and saves before it sends: a number that is used twice would hide a letter."""
    public = key_of(ask, state, args.to)
    number = state["sent"].get(args.to, 0) + 1
    message_id = secrets.token_hex(16)
    sealed = seal_letter(private_key(state), args.account, args.to, public, message_id, number, args.text)
    state["keys"][args.to] = public.hex()
    state["sent"][args.to] = number
    save(args, state)
    return {"id": message_id, "sealed": base64_text(sealed)}


def read(args):
    state, last, found = load(args), 0, False
    with session(args, state) as ask:
        while True:
            page = ask("messages", do="fetch", after=last)
            numbers = []
            for message in take(page, "messages", list):
                number = number_in(message, "number", last + 1)
                show(args, state, ask, message)
                numbers.append(number)
                last = number
            found = found or bool(numbers)
            sys.stdout.flush()
            save(args, state)
            for at in range(0, len(numbers), 1000):
                ask("deleted", do="delete", numbers=numbers[at : at + 1000])
            if not take(page, "more", bool):
                break
            if not numbers:
                raise ValueError("expected messages, as there are more, got none")
    if not found:
        print("nothing new")


def show(args, state, ask, message):
    sender = checked_name(take(message, "from", str))
    letter = opened(args, state, ask, sender, message)
    if letter is None:
        print(f"WARNING: a box claims to be from {sender} but isn't")
        return
    number, text = letter
    seen = state["seen"].setdefault(sender, {"largest": 0, "missing": []})
    seen.setdefault("ids", [])
    found = finding(seen, number, message["id"])
    if found is None:
        print(f"letter {number} from {sender} came again, and is not shown again")
        return
    missing, late = found
    if missing:
        count = f"a letter from {sender} is" if missing == 1 else f"{missing} letters from {sender} are"
        print(f"WARNING: {count} missing before the next one")
    print(f"letter {number} from {sender}{late}: {plain(text)}")


def opened(args, state, ask, sender, message):
    """Number and text, or None if it is no letter of this sender. Keeps the sender's key once one opened."""
    message_id, sealed = take(message, "id", str), take(message, "sealed", str)
    try:
        public = bytes.fromhex(state["keys"].get(sender, "")) or key_of(ask, state, sender)
    except Refused as refused:
        if refused.because != "no_account":
            raise
        return None
    try:
        if not re.fullmatch("[0-9a-f]{32}", message_id):
            return None
        box = base64.b64decode(sealed, validate=True)
        letter = open_letter(private_key(state), sender, args.account, public, message_id, box)
    except (ValueError, RecursionError):  # RecursionError: json, of nothing but brackets
        return None
    state["keys"][sender] = public.hex()
    return letter


def fingerprint(args):
    state, who = load(args), checked_name(args.who)
    with session(args, state) as ask:
        print(f"{who}: {fingerprint_of(who, key_of(ask, state, who))}")


def trust(args):
    """Keeps another key, once its owner has said the same fingerprint."""
    state, who = load(args), checked_name(args.who)
    compared = " ".join(args.fingerprint).lower()
    with session(args, state) as ask:
        public = key_of(ask, state | {"keys": {}}, who)
    offered = fingerprint_of(who, public)
    if offered != compared:
        raise ValueError(f"the server gives another key for {who} than the one you compared: {offered}")
    state["keys"][who] = public.hex()
    save(args, state)
    print(f"kept for {who}: {offered}")


def arguments():
    parser = argparse.ArgumentParser(description="Sends and reads sealed letters.")
    parser.add_argument("--ca", default="mailbox-data/ca.pem", help="the CAs to trust, in PEM")
    parser.add_argument("--server", default="127.0.0.1:7443", help="HOST:PORT")
    parser.add_argument("--name", default="mailbox.test", help="the server's name, as in its certificate")
    parser.add_argument("--home", default="mailbox-python", help="the folder of the accounts")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, members in (
        ("register", ["account"]),
        ("send", ["account", "to"]),
        ("read", ["account"]),
        ("fingerprint", ["account", "who"]),
        ("trust", ["account", "who"]),
        ("self-test", []),
    ):
        sub = commands.add_parser(command)
        for member in members:
            sub.add_argument(member, metavar="NAME" if member == "account" else member.upper())
        if command == "self-test":
            sub.add_argument("vectors", metavar="VECTORS", nargs="?", help="tests/vectors.json of the take-home crate")
        if command == "trust":
            sub.add_argument("fingerprint", metavar="FINGERPRINT", nargs="+", help="as its owner says it")
    return parser.parse_args()


def main():
    args = arguments()
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdin.reconfigure(encoding="utf-8")
    try:
        if args.command == "self-test":
            self_test()
            if args.vectors:
                check_vectors(args.vectors)
            return 0
        checked_name(args.account)
        if args.command == "register":
            os.makedirs(args.home, mode=0o700, exist_ok=True)
        args.folder = os.open(args.home, os.O_RDONLY)
        fcntl.flock(args.folder, fcntl.LOCK_EX)  # one at a time: two that send at once would use one number
        commands = {"register": register, "send": send, "read": read, "fingerprint": fingerprint, "trust": trust}
        commands[args.command](args)
        sys.stdout.flush()
    except (OSError, ValueError, RecursionError) as error:
        print(plain(str(error)) or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
