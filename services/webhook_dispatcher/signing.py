"""Signs webhooks: Standard Webhooks v1, and a plain HMAC in `X-DLUX-Signature`.

The key of a secret `whsec_...` is the base64 after the prefix; the key of any other secret is its UTF-8 bytes.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook

from libs.common.db.sealing import Sealer
from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.version import VERSION

USER_AGENT = f"DLUX-Presence-Webhook/{VERSION}"
PREFIX = "whsec_"
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


UNREADABLE = "The secret could not be read; an operator has to look into it."


def live(present: bytes, previous: bytes | None, until: datetime | None, moment: datetime) -> list[bytes]:
    """Returns the sealed secrets that sign at a moment, the present one first."""
    return [present, previous] if previous and until and until > moment else [present]


def open_keys(
    sealer: Sealer,
    subscription_id: str,
    present: bytes,
    previous: bytes | None,
    until: datetime | None,
    moment: datetime,
) -> list[bytes]:
    """Returns the keys that sign at a moment, the present one first. Raises `SealBroken`."""
    return [sealer.open(sealed, subscription_id) for sealed in live(present, previous, until, moment)]


def headers(keys: Sequence[bytes], webhook_id: str, body: bytes, moment: datetime) -> dict[str, str]:
    """Returns the headers of one attempt. `keys` holds the current key, then the previous one while it still signs.

    `webhook-signature` has one entry a key (https://www.standardwebhooks.com). `X-DLUX-Signature` uses the
    current key and covers the raw body only.
    """
    text = body.decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(webhook_id, moment, text) for key in keys),
        "X-DLUX-Signature": "sha256=" + hmac.new(keys[0], body, hashlib.sha256).hexdigest(),
    }
