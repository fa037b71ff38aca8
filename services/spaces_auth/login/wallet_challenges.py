"""Challenges that a client makes itself, as the wallet script of dlux.io does: `dlux_vr_<unix ms>_<9 of [a-z0-9]>`.

Such a text names neither host nor account nor space: whoever gets somebody to sign one may show it here. So it must be
young, is taken once, and opens one admission, never an identity token.
"""

import re
import time

from redis.asyncio import Redis

from libs.common import cache
from libs.common.contracts.auth import Prove
from libs.common.errors import UNAUTHORIZED, PresenceError

PREFIX = "dlux_vr_"
OLDEST_SECONDS = 120  # of a challenge
AHEAD_SECONDS = 30  # by which the client's clock may be before ours
# A used challenge is remembered for longer than any clock of ours takes it for young.
REMEMBERED_SECONDS = 2 * (OLDEST_SECONDS + AHEAD_SECONDS)
_FORM = re.compile(rf"{PREFIX}([1-9][0-9]{{12}})_[a-z0-9]{{9}}")
_SERVERS = "ask /api/auth/challenge for one"


def is_wallets(challenge: str) -> bool:
    """Returns whether a challenge is meant as one of the client's own making, well formed or not."""
    return challenge.startswith(PREFIX)


def refuse_for_login() -> PresenceError:
    """Returns the error of a client's own challenge that came for a login."""
    return PresenceError(UNAUTHORIZED, f"A challenge that the client made opens a join, and no login; {_SERVERS}.")


class WalletChallenges:
    """With `taken` false there is no such thing."""

    def __init__(self, redis: Redis, *, taken: bool) -> None:
        self._redis = redis
        self._taken = taken

    def require_good(self, proof: Prove) -> str:
        """Returns the account that a proof names. Raises `unauthorized` for a challenge that is not to be taken."""
        if not self._taken:
            raise PresenceError(UNAUTHORIZED, f"Challenges that clients make are switched off here; {_SERVERS}.")
        if not proof.joins:
            text = f"A challenge that the client made opens a join, and nothing else; {_SERVERS}."
            raise PresenceError(UNAUTHORIZED, text)
        if proof.account is None:
            text = "This challenge names no account: send Bearer <signature>:<account>, or the account in X-Account."
            raise PresenceError(UNAUTHORIZED, text)
        _require_young(proof.challenge)
        return proof.account

    async def use_up(self, challenge: str, account: str, key: str) -> None:
        """Remembers a challenge whose signature was verified. Raises `unauthorized` where it was used before.

        It counts for the account and for the key, which may speak for several accounts; nobody else's is used up by it.
        Raises `unavailable` while nobody can say.
        """
        with cache.redis_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                for who in (account, key):
                    pipe.set(cache.wallet_challenge(challenge, who), "1", nx=True, ex=REMEMBERED_SECONDS)
                are_new = await pipe.execute()
        if not all(are_new):
            raise PresenceError(
                UNAUTHORIZED, "The challenge was used before, and opens one join: make and sign another."
            )


def _require_young(challenge: str) -> None:
    match = _FORM.fullmatch(challenge)
    if match is None:
        text = f"A challenge that the client makes is {PREFIX}<Unix time in ms>_<9 of a-z and 0-9>, and nothing more."
        raise PresenceError(UNAUTHORIZED, text)
    age = time.time() - int(match[1]) / 1000
    if age > OLDEST_SECONDS:
        text = f"The challenge is older than {OLDEST_SECONDS} seconds: make and sign another."
        raise PresenceError(UNAUTHORIZED, text)
    if age < -AHEAD_SECONDS:
        text = f"The challenge is more than {AHEAD_SECONDS} seconds in the future: the device's clock is fast."
        raise PresenceError(UNAUTHORIZED, text)
