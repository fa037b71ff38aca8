"""Names guests without a token: a new one each request, but one and the same when a command is repeated."""

from typing import Any
from uuid import UUID, uuid4, uuid5

import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.addresses import limited
from libs.common.edge.commands import ClientCall
from libs.common.identity import Identity, guest_identity

_log = structlog.get_logger(__name__)


class Guests:
    """Gives a retry the author of the first attempt, so that it returns the first message.

    Ids are made of the address, the operation and the command's key under a salt that only we know: without it an id
    would tell the address. The operation is in it since others see a message's key: it must not let them, from the
    same address, take the message back.
    """

    def __init__(self, redis: cache.RedisClient) -> None:
        self._redis = redis
        self._salt: UUID | None = None

    async def author(self, call: ClientCall, request: Any) -> Identity:
        """Returns who a call is by: the token's identity, or the guest of this address, operation and client id."""
        identity, key = call.token.identity, getattr(request, "client_message_id", None)
        if not identity.guest or identity.token_id or key is None:
            return identity
        try:
            salt = self._salt = self._salt or UUID(await cache.guest_salt(self._redis.redis, str(uuid4())))
        except (RedisError, OSError) as error:
            _log.warning("a guest is new while Redis is away", error=repr(error))
            return identity
        return guest_identity(str(uuid5(salt, f"{limited(call.address)} {call.operation.name} {key}")))
