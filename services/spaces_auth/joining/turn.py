"""Issues TURN credentials by the TURN REST API draft (draft-uberti-behave-turn-rest-00).

`username = <Unix expiry>:<name>`, `credential = base64(HMAC-SHA1(secret, username))`; coturn checks them with
`use-auth-secret`, without asking us, and counts relays by name. The name is the account's; guests are free to make, so
all of an address have one name, and no address has more relays than one account.
"""

import base64
import hashlib
import hmac
import time
from typing import Any

from libs.common.addresses import limited
from libs.common.bus.base import Caller
from libs.common.contracts.auth import Empty
from libs.common.contracts.voice import TurnCredentials
from services.spaces_auth.settings import Settings


class TurnHandlers:
    """Issues credentials with the secret that coturn shares."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.turn_secret
        self._account_seconds = settings.turn_seconds
        self._guest_seconds = settings.guest_turn_seconds
        self._stun = list(settings.stun_uris)
        self._turn = list(settings.turn_uris)

    async def credentials(self, caller: Caller, _: Empty) -> TurnCredentials:
        """Returns credentials for the caller."""
        return self.issue(caller)

    def issue(self, caller: Caller) -> TurnCredentials:
        """Returns credentials for a caller; STUN servers only for one who shows no token, or without a secret."""
        stun: list[dict[str, Any]] = [{"urls": self._stun}] if self._stun else []
        if not caller.identity.token_id or not self._secret:
            return TurnCredentials(None, None, None, 0, self._stun, stun)
        account = caller.identity.account
        seconds = self._account_seconds if account else self._guest_seconds
        username = f"{int(time.time()) + seconds}:{account or self._name_of_address(caller.address)}"
        digest = hmac.new(self._secret.encode(), username.encode(), hashlib.sha1).digest()
        credential = base64.b64encode(digest).decode()
        turn = {"urls": self._turn, "username": username, "credential": credential}
        return TurnCredentials(username, credential, credential, seconds, [*self._stun, *self._turn], [*stun, turn])

    def _name_of_address(self, address: str) -> str:
        """Returns a name that says nothing of the address to who has it."""
        digest = hmac.new(self._secret.encode(), limited(address).encode(), hashlib.sha256).hexdigest()
        return f"guests-{digest[:16]}"
