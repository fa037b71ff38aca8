"""How much of this replica one account and one address may take: sockets at a time, signals a second."""

from dataclasses import dataclass, field

from libs.common.addresses import limited
from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.tokens import Token
from services.realtime.sessions import MOST_SIGNALS, Budget
from services.realtime.settings import Settings

SIGNALS_OF_ACCOUNT = 4 * MOST_SIGNALS  # a second, of all its sockets together
SIGNALS_OF_ADDRESS = 200 * MOST_SIGNALS  # a school or a venue is one address


@dataclass(slots=True)
class Share:
    """One account's, guest's or address' part. A `most` of 0 is no limit."""

    name: str
    most: int
    budget: Budget
    sockets: int = field(default=0)


class Shares:
    """`take` at connecting, `give_back` once for each `take`."""

    def __init__(self, settings: Settings) -> None:
        factor = settings.rate_limit_factor
        self._account = round(settings.sockets_per_account * factor), round(SIGNALS_OF_ACCOUNT * factor)
        self._address = round(settings.sockets_per_address * factor), round(SIGNALS_OF_ADDRESS * factor)
        self._shares: dict[str, Share] = {}

    def take(self, token: Token, address: str) -> list[Share]:
        """Raises `rate_limited`. Whoever shows no token counts by address alone."""
        limits = {f"address:{limited(address)}": self._address}
        if token.identity.token_id:
            limits[token.identity.key] = self._account
        shares = [
            self._shares.get(name) or Share(name, most, Budget(signals)) for name, (most, signals) in limits.items()
        ]
        for share in shares:
            if 0 < share.most <= share.sockets:
                raise PresenceError(RATE_LIMITED, "Too many connections; close another one first.")
        for share in shares:
            share.sockets += 1
            self._shares[share.name] = share
        return shares

    def give_back(self, shares: list[Share]) -> None:
        for share in shares:
            share.sockets -= 1
            if not share.sockets:
                self._shares.pop(share.name, None)
