import base64
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.tokens import Signer
from tests.integration.gateway.world import World, running

_SIGNER = Signer("http://localhost:8080", "key-1", Ed25519PrivateKey.generate())
_X = base64.urlsafe_b64encode(_SIGNER.key.public_key().public_bytes_raw()).decode().rstrip("=")
_JWKS: list[dict[str, Any]] = [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "key-1", "x": _X}]


class Run(Protocol):
    """Starts a gateway with other settings or another Redis."""

    def __call__(self, redis_url: str, **changes: Any) -> AbstractAsyncContextManager[World]: ...


@pytest.fixture
def run() -> Run:
    return lambda redis_url, **changes: running(redis_url, _SIGNER, _JWKS, **changes)


@pytest.fixture
async def world(redis_url: str, run: Run) -> AsyncIterator[World]:
    async with run(redis_url) as world:
        yield world
