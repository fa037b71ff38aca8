"""Signs webhooks: Standard Webhooks v1 and, with a key pair, v1a; and a plain HMAC in `X-DLUX-Signature`.

The key of a secret `whsec_...` is the base64 after the prefix; the key of any other secret is its UTF-8 bytes.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from libs.common.db.sealing import Sealer
from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.version import VERSION

USER_AGENT = f"DLUX-Presence-Webhook/{VERSION}"
PREFIX, PUBLIC_PREFIX = "whsec_", "whpk_"
_KEY_BYTES = 32
_STANDARD_LENGTHS = range(24, 65)  # bytes, as Standard Webhooks has it


def make_secret() -> str:
    """Returns a fresh secret in the form that its subscriber is shown."""
    return secret_of(os.urandom(_KEY_BYTES))


def secret_of(key: bytes) -> str:
    """Returns the `whsec_` form of a key."""
    return PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """Returns the HMAC key of a secret. Raises `invalid_input` for a `whsec_` that no library accepts."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) in _STANDARD_LENGTHS:
        return key
    text = "After whsec_ comes the base64 of 24 to 64 bytes."
    raise PresenceError(INVALID_INPUT, text, {"fields": {"secret": [text]}})


def make_signing_key() -> bytes:
    """Returns a fresh Ed25519 private key: its 32 bytes (RFC 8032)."""
    return os.urandom(_KEY_BYTES)


def public_key_of(signing_key: bytes) -> str:
    """Returns the `whpk_` form of the public key that belongs to a private one."""
    public = Ed25519PrivateKey.from_private_bytes(signing_key).public_key()
    return PUBLIC_PREFIX + base64.b64encode(public.public_bytes_raw()).decode()


def owner_of_signing_key(subscription_id: str) -> str:
    """Returns what a private key is sealed for: it cannot be taken for the secret, nor the other way round."""
    return f"{subscription_id}:signing"


class Sealed(Protocol):
    """What signs for a subscription: columns of its row."""

    @property
    def secret_sealed(self) -> bytes: ...
    @property
    def previous_secret_sealed(self) -> bytes | None: ...
    @property
    def previous_secret_until(self) -> datetime | None: ...
    @property
    def signing_key_sealed(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of the secrets that sign, the present one first, and the private key of one that has it."""

    secrets: list[bytes]
    signing: bytes | None


def open_keys(sealer: Sealer, subscription_id: str, sealed: Sealed, moment: datetime) -> Keys:
    """Returns the keys that sign at a moment. Raises `SealBroken`."""
    live, until = [sealed.secret_sealed], sealed.previous_secret_until
    if sealed.previous_secret_sealed and until and until > moment:
        live.append(sealed.previous_secret_sealed)
    of_pair = sealed.signing_key_sealed
    return Keys(
        [sealer.open(secret, subscription_id) for secret in live],
        sealer.open(of_pair, owner_of_signing_key(subscription_id)) if of_pair else None,
    )


def headers(
    keys: Sequence[bytes], webhook_id: str, body: bytes, moment: datetime, signing_key: bytes | None = None
) -> dict[str, str]:
    """Returns the headers of one attempt. `keys` holds the current key, then the previous one while it still signs.

    `webhook-signature` has one entry a key, and one of a private `signing_key` if there is one
    (https://www.standardwebhooks.com). `X-DLUX-Signature` uses the current key and covers the raw body only.
    """
    text = body.decode()
    signatures = [Webhook(key).sign(webhook_id, moment, text) for key in keys]
    if signing_key:
        signatures.append(_sign(signing_key, f"{webhook_id}.{int(moment.timestamp())}.".encode() + body))
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
        "X-DLUX-Signature": "sha256=" + hmac.new(keys[0], body, hashlib.sha256).hexdigest(),
    }


def _sign(signing_key: bytes, signed: bytes) -> str:
    """Returns the entry of an Ed25519 signature, which Standard Webhooks calls v1a."""
    return "v1a," + base64.b64encode(Ed25519PrivateKey.from_private_bytes(signing_key).sign(signed)).decode()
