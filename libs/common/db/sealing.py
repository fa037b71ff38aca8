"""Secrets at rest: AES-256-GCM under PRESENCE_SECRET_KEY, bound to what they belong to."""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class SealBroken(Exception):
    """Sealed under another key, for another owner, or damaged."""


class Sealer:
    """`secret_key` is 32 bytes in base64. `owner` (say a row's id) must be the same to open."""

    def __init__(self, secret_key: str) -> None:
        self._aead = AESGCM(base64.b64decode(secret_key))

    def seal(self, secret: bytes, owner: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, owner.encode())

    def open(self, sealed: bytes, owner: str) -> bytes:
        """Raises `SealBroken`."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: cut off within its nonce
            raise SealBroken(f"The secret of {owner} cannot be opened; was PRESENCE_SECRET_KEY changed?") from error
