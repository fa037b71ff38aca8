"""Keys of the test accounts, and signatures as Hive Keychain's `requestSignBuffer` makes them.

Hive's own rule (its "login with password"): the private key of a role is SHA-256 of account + role + password. Public
keys come from wax, which the services verify with; signatures from coincurve, so that neither is its own judge.
"""

import hashlib
from functools import cache

from coincurve import PrivateKey
from coincurve._libsecp256k1 import ffi
from wax import create_wax_foundation
from wax.models.key_data import IPrivateKeyData

ACCOUNTS = ("alice", "bob", "carol", "dave")
DELEGATES = {"erin": "alice"}  # accounts without a posting key, and whose key posts for them
PASSWORD = "presence-demo"  # noqa: S105 - public on purpose: these accounts exist only in the stand-in node
COMPACT_COMPRESSED = 27 + 4  # the header byte is this plus the recovery id: 31..34


def public_key(account: str, role: str, password: str = PASSWORD) -> str:
    """The `STM...` text of a role's key. Roles: posting, active, owner, memo."""
    return str(_derived(account, role, password).associated_public_key)


def private_key(account: str, role: str = "posting", password: str = PASSWORD) -> PrivateKey:
    """Returns the key as a `coincurve` object."""
    return PrivateKey(hashlib.sha256(f"{account}{role}{password}".encode()).digest())


def sign(text: str, key: PrivateKey) -> str:
    """Sign SHA-256 of the UTF-8 text: 65 bytes as 130 hex digits, the header byte first.

    Hive takes canonical signatures only, so the nonce is varied until one comes out; every second try does.
    """
    digest = hashlib.sha256(text.encode()).digest()
    tries = (_sign_once(digest, key, attempt) for attempt in range(1000))
    return next(signature for signature in tries if is_canonical(signature)).hex()


def sign_text(account: str, text: str) -> str:
    """Sign with a test account's posting key."""
    return sign(text, private_key(account))


def is_canonical(signature: bytes) -> bool:
    """Hive's rule: r and s have no top bit set, and no leading zero byte without need."""
    parts = (signature[1:33], signature[33:65])
    return all(part[0] < 0x80 and not (part[0] == 0 and part[1] < 0x80) for part in parts)


def _sign_once(digest: bytes, key: PrivateKey, attempt: int) -> bytes:
    """One signature; `attempt` is mixed into the deterministic nonce (RFC 6979, 3.6)."""
    extra = ffi.new("unsigned char[32]", attempt.to_bytes(32, "big"))
    made = key.sign_recoverable(digest, hasher=None, custom_nonce=(ffi.NULL, extra))
    return bytes([COMPACT_COMPRESSED + made[64]]) + made[:64]


@cache
def _derived(account: str, role: str, password: str) -> IPrivateKeyData:
    return create_wax_foundation().get_private_key_from_password(account, role, password)
