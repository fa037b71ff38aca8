"""Issues TURN credentials by the TURN REST API draft (draft-uberti-behave-turn-rest-00).

`username = <Unix expiry>:<account>`, `credential = base64(HMAC-SHA1(secret, username))`; coturn checks
them with `use-auth-secret`, without asking us.
"""

import base64
import hashlib
import hmac
import time
from typing import Any

from libs.common.bus.base import Caller
from libs.common.contracts.auth import Empty
from libs.common.contracts.voice import TurnCredentials
from libs.common.identity import Identity
from services.spaces_auth.settings import Settings


class TurnHandlers:
    """Issues credentials with the secret that coturn shares."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.turn_secret
        self._ttl = settings.turn_seconds
        self._stun = list(settings.stun_uris)
        self._turn = list(settings.turn_uris)

    async def credentials(self, caller: Caller, _: Empty) -> TurnCredentials:
        """Returns credentials for the caller; STUN servers only for a caller without a token."""
        return self.issue(caller.identity if caller.identity.token_id else None)

    def issue(self, identity: Identity | None) -> TurnCredentials:
        """Returns credentials for `identity`; STUN servers only for None, or without a secret."""
        stun: list[dict[str, Any]] = [{"urls": self._stun}] if self._stun else []
        if identity is None or not self._secret:
            return TurnCredentials(None, None, None, 0, self._stun, stun)
        username = f"{int(time.time()) + self._ttl}:{identity.id}"
        digest = hmac.new(self._secret.encode(), username.encode(), hashlib.sha1).digest()
        credential = base64.b64encode(digest).decode()
        turn = {"urls": self._turn, "username": username, "credential": credential}
        return TurnCredentials(username, credential, credential, self._ttl, [*self._stun, *self._turn], [*stun, turn])
