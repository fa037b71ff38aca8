"""Verifies that the holder of an account's posting key signed a text.

Keychain's `requestSignBuffer` signs SHA-256 of the UTF-8 text and gives a 65-byte compact recoverable
signature in hex. The key is recovered from it (wax, Hive's own primitive, which is not input-safe:
hence the gate) and looked up in the account's posting authority on the chain.

That may name other accounts beside keys, or in their place: who holds such an account's posting key may then speak for
this one. Hive follows that from account to account to a depth of two (`sign_state.cpp`, `HIVE_MAX_SIG_CHECK_DEPTH`).
So does this, level by level: each costs one question, whatever the number of accounts.
"""

import asyncio
import hashlib
import itertools
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import msgspec
import wax
from redis.asyncio import Redis

from libs.common import cache
from libs.common.errors import UNAUTHORIZED, UNAVAILABLE, PresenceError
from libs.common.hive import HiveClient, HiveError

AUTHORITY_SECONDS = 60
MOST_DEPTH = 2  # Hive's own; there are exponentially many ways that are longer
MOST_ACCOUNTS = 125  # looked at for one login (Hive's `HIVE_MAX_SIG_CHECK_ACCOUNTS`); others' keys do not count
AGREEING = 2  # nodes that must give the same answer, where so many are configured: one that lies lets nobody in
_SIGNATURE = re.compile(r"(?:1f|2[0-2])[0-9a-f]{128}")  # header byte 31..34: recovery id, compressed key
_foundation = wax.create_wax_foundation()


class Authority(msgspec.Struct, frozen=True):
    """An account's posting authority: key → weight, account → weight, and the sum that suffices."""

    threshold: int
    keys: dict[str, int]
    accounts: dict[str, int] = {}


type Known = dict[str, Authority | None]
"""What was found out of accounts; None of one that does not exist."""


@dataclass(slots=True)
class Check:
    """Hive's `check_authority`: whether `signed_by` together satisfy an account's authority.

    An account that was found satisfied once counts wherever it is named; one that is not `known` does not.
    """

    known: Mapping[str, Authority | None]
    signed_by: Set[str]
    depth: int
    approved: set[str] = field(default_factory=set)

    def satisfies(self, account: str, depth: int = 0) -> bool:
        authority = self.known.get(account)
        if authority is None or authority.threshold <= 0:
            return False
        weight = sum(weight for key, weight in authority.keys.items() if key in self.signed_by)
        for name, more in authority.accounts.items():
            if weight >= authority.threshold:
                break
            if name in self.approved or (depth < self.depth and self.satisfies(name, depth + 1)):
                self.approved.add(name)
                weight += more
        return weight >= authority.threshold


class _Posting(msgspec.Struct):
    weight_threshold: int
    key_auths: list[tuple[str, int]]
    account_auths: list[tuple[str, int]]


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
    """Posting authorities, cached for a minute; keys that do not match are looked up afresh once.

    `depth` is how many accounts may stand between the account and the key, at most `MOST_DEPTH`: 0 is none.
    """

    def __init__(self, hive: HiveClient, redis: Redis, depth: int) -> None:
        self._hive = hive
        self._redis = redis
        self._depth = min(depth, MOST_DEPTH)

    async def require_posting_keys(self, account: str, keys: Set[str]) -> None:
        """Returns if `keys` together satisfy the account's posting authority. Raises `unauthorized`, `unavailable`."""
        fresh: Known = {}
        for may_be_cached in (True, False):
            if await self._allows(account, keys, fresh, may_be_cached=may_be_cached):
                return
        text = f"The text was not signed with {account}'s posting key." if fresh[account] else ""
        raise PresenceError(UNAUTHORIZED, text or f"There is no Hive account {account}.")

    async def _allows(self, account: str, keys: Set[str], fresh: Known, *, may_be_cached: bool) -> bool:
        """Looks level by level, no deeper than it must. What it asks Hive for is added to `fresh`."""
        known: Known = {}
        level = {account}
        for depth in range(self._depth + 1):
            known |= await self._read(level, fresh, may_be_cached=may_be_cached)
            if Check(known, keys, depth).satisfies(account):
                return True
            level = _next_level(level, known)
            if not level:
                break
        return False

    async def _read(self, accounts: Set[str], fresh: Known, *, may_be_cached: bool) -> Known:
        found = await self._cached(accounts - fresh.keys()) if may_be_cached else {}
        missing = accounts - found.keys() - fresh.keys()
        if missing:
            fresh |= await self._fetch(sorted(missing))
        return found | {name: fresh[name] for name in accounts & fresh.keys()}

    async def _cached(self, accounts: Set[str]) -> Known:
        names = sorted(accounts)
        with cache.redis_unavailable():
            stored = await asyncio.gather(*(self._redis.get(cache.authority(name)) for name in names))
        return {
            name: msgspec.json.decode(each, type=Authority) for name, each in zip(names, stored, strict=True) if each
        }

    async def _fetch(self, accounts: list[str]) -> Known:
        try:
            authorities = await self._hive.agreed(
                "condenser_api.get_accounts", [accounts], lambda answer: _postings(accounts, answer), AGREEING
            )
        except HiveError as error:
            raise PresenceError(UNAUTHORIZED, f"Hive does not know {', '.join(accounts)[:100]}.") from error
        with cache.redis_unavailable():
            for name, authority in authorities.items():
                encoded = msgspec.json.encode(authority)
                await self._redis.set(cache.authority(name), encoded, ex=AUTHORITY_SECONDS)
        return {name: authorities.get(name) for name in accounts}


def _next_level(level: Set[str], known: Known) -> set[str]:
    """Returns the accounts named by those of a level that are not known yet, as many as may be looked at."""
    authorities = (known[name] for name in sorted(level))
    named = (name for authority in authorities if authority for name in sorted(authority.accounts))
    unknown = dict.fromkeys(name for name in named if name not in known)
    return set(itertools.islice(unknown, max(MOST_ACCOUNTS - len(known), 0)))


def _postings(accounts: list[str], answer: Any) -> dict[str, Authority]:
    """Returns the authorities by a node's answer, of those accounts that there are.

    Raises `unavailable` for an answer that is malformed or of another account: that is the node's fault.
    """
    try:
        described = msgspec.convert(answer or [], list[_Account])
    except msgspec.ValidationError as error:
        raise PresenceError(UNAVAILABLE, "The Hive node's answer makes no sense.") from error
    if not {account.name for account in described} <= set(accounts):
        raise PresenceError(UNAVAILABLE, "The Hive node's answer is of another account.")
    return {
        account.name: Authority(
            account.posting.weight_threshold, dict(account.posting.key_auths), dict(account.posting.account_auths)
        )
        for account in described
    }
