"""Verifies that the holder of an account's posting key signed a text.

Keychain's `requestSignBuffer` signs SHA-256 of the UTF-8 text and gives a 65-byte compact recoverable
signature in hex. The key is recovered from it (wax, Hive's own primitive, which is not input-safe:
hence the gate) and looked up in the account's posting authority on the chain.
"""

import hashlib
import re
from collections.abc import Set
from typing import Any

import msgspec
import wax
from redis.asyncio import Redis

from libs.common import cache
from libs.common.errors import UNAUTHORIZED, UNAVAILABLE, PresenceError
from libs.common.hive import HiveClient, HiveError

AUTHORITY_SECONDS = 60
AGREEING = 2  # nodes that must give the same answer, where so many are configured: one that lies lets nobody in
_SIGNATURE = re.compile(r"(?:1f|2[0-2])[0-9a-f]{128}")  # header byte 31..34: recovery id, compressed key
_foundation = wax.create_wax_foundation()


class Authority(msgspec.Struct, frozen=True):
    """An account's posting authority: key → weight, and the sum that suffices."""

    threshold: int
    keys: dict[str, int]

    def allows(self, keys: Set[str]) -> bool:
        """Returns true if the keys' weights together reach the threshold; each key counts once."""
        return sum(self.keys.get(key, 0) for key in keys) >= self.threshold > 0


class _Posting(msgspec.Struct):
    weight_threshold: int
    key_auths: list[tuple[str, int]]


class _Account(msgspec.Struct):
    """The fields that are read of an account of condenser_api."""

    name: str
    posting: _Posting


def recover_key(text: str, signature: str) -> str:
    """Returns the public key (`STM...`) whose private half signed `text`. Raises `unauthorized` for a bad signature."""
    if not _SIGNATURE.fullmatch(signature.lower()):
        raise PresenceError(UNAUTHORIZED, "A signature is 130 hexadecimal digits, as requestSignBuffer gives them.")
    digest = hashlib.sha256(text.encode()).hexdigest()
    try:
        return str(_foundation.get_public_key_from_signature(digest, signature.lower()))
    except Exception as error:  # wax raises any exception of its C++ side
        raise PresenceError(UNAUTHORIZED, "The signature is not valid.") from error


class HiveAuthority:
    """Posting authorities, cached for a minute; a key that does not match is looked up afresh once."""

    def __init__(self, hive: HiveClient, redis: Redis) -> None:
        self._hive = hive
        self._redis = redis

    async def require_posting_keys(self, account: str, keys: Set[str]) -> None:
        """Returns if `keys` together satisfy the account's posting authority. Raises `unauthorized`, `unavailable`."""
        cached = await self._cached(account)
        if cached and cached.allows(keys):
            return
        if not (await self._fetch(account)).allows(keys):
            raise PresenceError(UNAUTHORIZED, f"The text was not signed with {account}'s posting key.")

    async def _cached(self, account: str) -> Authority | None:
        with cache.redis_unavailable():
            stored = await self._redis.get(cache.authority(account))
        return msgspec.json.decode(stored, type=Authority) if stored else None

    async def _fetch(self, account: str) -> Authority:
        try:
            authority = await self._hive.agreed(
                "condenser_api.get_accounts", [[account]], lambda answer: _posting(account, answer), AGREEING
            )
        except HiveError as error:
            raise PresenceError(UNAUTHORIZED, f"Hive does not know {account}.") from error
        if authority is None:
            raise PresenceError(UNAUTHORIZED, f"There is no Hive account {account}.")
        with cache.redis_unavailable():
            await self._redis.set(cache.authority(account), msgspec.json.encode(authority), ex=AUTHORITY_SECONDS)
        return authority


def _posting(account: str, answer: Any) -> Authority | None:
    """Returns the account's authority by a node's answer; None if there is no such account.

    Raises `unavailable` for an answer that is malformed or of another account: that is the node's fault.
    """
    if not answer:
        return None
    try:
        (described,) = msgspec.convert(answer, tuple[_Account])
    except msgspec.ValidationError as error:
        raise PresenceError(UNAVAILABLE, "The Hive node's answer makes no sense.") from error
    if described.name != account:
        raise PresenceError(UNAVAILABLE, "The Hive node's answer is of another account.")
    return Authority(described.posting.weight_threshold, dict(described.posting.key_auths))
