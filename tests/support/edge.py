"""An edge's gatekeeper in process, with a spaces_auth that gives it the keys, and tokens that it takes."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.cache import RedisClient
from libs.common.contracts import auth
from libs.common.contracts.auth import Empty, Jwks
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.edge.limits import RateLimits
from libs.common.errors import UNAUTHORIZED, ErrorCode, PresenceError
from libs.common.identity import Identity
from libs.common.settings import EdgeSettings
from libs.common.tokens import Signer, Token
from tests.support.settings import defaults

HERE = "203.0.113.9"
SETTINGS = defaults(EdgeSettings, operators=("olivia",), operator_token="operate!")
SIGNER = Signer(SETTINGS.public_url, "key-1", Ed25519PrivateKey.generate())


class Edge:
    """A gatekeeper, and a spaces_auth that gives it the keys. `asked` counts who asked for them."""

    def __init__(self, redis_url: str, settings: EdgeSettings = SETTINGS, *, keys: bool = True) -> None:
        self.signers, self.asked = [SIGNER], 0
        broker = MemoryBroker()
        self.server, self.bus = MemoryBus(broker), MemoryBus(broker)
        if keys:
            self.server.serve(auth.jwks, self._jwks)
        self.redis = RedisClient(redis_url)
        limits = RateLimits(redis_url, settings.rate_limit_factor)
        self.gatekeeper = Gatekeeper(self.bus, self.redis, limits, settings, "gateway")

    async def identify(self, bearer: str, address: str = HERE) -> Token:
        return await self.gatekeeper.identify(bearer, address)

    async def _jwks(self, _: Caller, __: Empty) -> Jwks:
        self.asked += 1
        return Jwks([jwk(signer) for signer in self.signers])

    async def __aenter__(self) -> "Edge":
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()
        await self.redis.stop()

    async def refuses(self, bearer: str, kind: ErrorCode = UNAUTHORIZED) -> None:
        with pytest.raises(PresenceError) as raised:
            await self.identify(bearer)
        assert raised.value.kind is kind


def jwk(signer: Signer) -> dict[str, Any]:
    """Returns the public half of a key, as spaces_auth shows it."""
    x = base64.urlsafe_b64encode(signer.key.public_key().public_bytes_raw()).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": signer.kid, "x": x}


def token(account: str = "alice", ttl: int = 60, **changes: Any) -> tuple[str, Identity]:
    encoded, said = SIGNER.sign(Identity("account", account, account, **changes), ttl)
    return encoded, said.identity
