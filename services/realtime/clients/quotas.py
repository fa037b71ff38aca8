"""Bounds what one account and one address take of this replica: sockets, signals and replayed events a second."""

from dataclasses import dataclass

from libs.common.addresses import limited
from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.tokens import Token
from services.realtime.rooms.client import MOST_SIGNALS, SignalBudget
from services.realtime.settings import Settings

SIGNALS_OF_ACCOUNT = 4 * MOST_SIGNALS  # a second, of all its sockets together
SIGNALS_OF_ADDRESS = 200 * MOST_SIGNALS  # a school or a venue is one address
REPLAYED_TO_ACCOUNT = 1000  # events a second that are sent again to those who come back
REPLAYED_TO_ADDRESS = 5000


@dataclass(slots=True)
class Quota:
    """One account's, guest's or address' part. A `most` of 0 is no limit."""

    name: str
    most: int
    budget: SignalBudget
    replays: SignalBudget
    sockets: int = 0


class Quotas:
    """`take` at connecting, `give_back` once for each `take`."""

    def __init__(self, settings: Settings) -> None:
        factor = settings.rate_limit_factor
        self._account = _times(factor, settings.sockets_per_account, SIGNALS_OF_ACCOUNT, REPLAYED_TO_ACCOUNT)
        self._address = _times(factor, settings.sockets_per_address, SIGNALS_OF_ADDRESS, REPLAYED_TO_ADDRESS)
        self._quotas: dict[str, Quota] = {}

    def take(self, token: Token, address: str) -> list[Quota]:
        """Raises `rate_limited`. Whoever shows no token counts by address alone."""
        limits = {f"address:{limited(address)}": self._address}
        if token.identity.token_id:
            limits[token.identity.key] = self._account
        quotas = [self._quotas.get(name) or _new_quota(name, *limit) for name, limit in limits.items()]
        for quota in quotas:
            if 0 < quota.most <= quota.sockets:
                raise PresenceError(RATE_LIMITED, "Too many connections; close another one first.")
        for quota in quotas:
            quota.sockets += 1
            self._quotas[quota.name] = quota
        return quotas

    def give_back(self, quotas: list[Quota]) -> None:
        for quota in quotas:
            quota.sockets -= 1
            if not quota.sockets:
                self._quotas.pop(quota.name, None)


def _times(factor: float, sockets: int, signals: int, replayed: int) -> tuple[int, int, int]:
    return round(sockets * factor), round(signals * factor), round(replayed * factor)


def _new_quota(name: str, sockets: int, signals: int, replayed: int) -> Quota:
    return Quota(name, sockets, SignalBudget(signals), SignalBudget(replayed))
