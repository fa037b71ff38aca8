"""From the registry to REST routes: every `Http` binding becomes one, by the same few lines."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from libs.common.bus.base import Bus, Caller
from libs.common.contracts.registry import Access, Http, Operation, Registry
from libs.common.contracts.schema import dump, from_query, load
from libs.common.edge import Gatekeeper, RateLimits, client_address, require_admitted, with_client_id, within_admission
from libs.common.errors import FORBIDDEN, INVALID_INPUT, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity
from services.gateway.server import OPERATION, REQUEST_ID, error_response

_GREEDY = ("space_id", "document_id")  # may hold a slash: `bob/my-post`, raw or percent-encoded
_BEARER = re.compile(r"(?:Bearer(?:\s+|$))?(.*)", re.IGNORECASE | re.DOTALL)


class Routes:
    """The generic REST edge."""

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        gatekeeper: Gatekeeper,
        limits: RateLimits,
        trusted_proxies: tuple[str, ...],
    ) -> None:
        self._registry, self._bus = registry, bus
        self._gatekeeper, self._limits, self._trusted = gatekeeper, limits, trusted_proxies

    def add_to(self, router: web.UrlDispatcher) -> None:
        """A path that ends in a greedy part goes last, or it would swallow the longer ones."""
        bound = [
            (binding, operation)
            for operation, binding in self._registry.bound(Http)
            if isinstance(operation, Operation)
        ]
        for binding, operation in sorted(bound, key=lambda row: _ends_greedy(row[0].path)):
            router.add_route(binding.method, _pattern(binding.path), self._handler(operation, binding))

    def _handler(self, operation: Operation[Any, Any], binding: Http) -> Any:
        async def handle(request: web.Request) -> web.Response:
            request[OPERATION] = operation.name
            token = await self._gatekeeper.identify(_bearer(request))
            _require_access(operation.access, token.identity)
            address = client_address(request.remote or "", request.headers.get("X-Forwarded-For"), self._trusted)
            budget = await self._limits.spend(operation, token.identity, address)
            try:
                if budget.exceeded:
                    raise budget.error()
                data = await _read(request, operation)
                require_admitted(token, data)
                data = within_admission(token, operation.request, data)
                caller = Caller(token.identity, request[REQUEST_ID], address)
                reply = await self._bus.call(operation, load(operation.request, data), caller)
                response = web.json_response(body=_encode(dump(reply)), status=binding.status)
            except PresenceError as error:
                response = error_response(request, error)
            response.headers.update(budget.headers())
            return response

        return handle


_encode = msgspec.json.Encoder().encode


def _ends_greedy(path: str) -> bool:
    return path.endswith(tuple(f"{{{name}}}" for name in _GREEDY))


def _pattern(path: str) -> str:
    for name in _GREEDY:
        path = path.replace(f"{{{name}}}", f"{{{name}:.+}}")
    return path


def _bearer(request: web.Request) -> str:
    """The token; a header of another scheme is no token either, and goes whole to be refused as such."""
    match = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
    return match[1] if match else ""


def _require_access(access: Access, identity: Identity) -> None:
    if access is Access.ACCOUNT and not (identity.account or identity.operator):
        raise PresenceError(UNAUTHORIZED, "This needs a Hive account; log in at /api/auth/login.")
    if access is Access.OPERATOR and not identity.operator:
        raise PresenceError(UNAUTHORIZED if identity.guest else FORBIDDEN, "This is for operators.")


async def _read(request: web.Request, operation: Operation[Any, Any]) -> dict[str, Any]:
    """Query, body and path as one object; the path wins. JSON is read whatever the Content-Type says."""
    data: dict[str, Any] = from_query(operation.request, request.query)
    if request.method != "GET":
        data.update(_object(await _body(request)))
    data.update(request.match_info)
    return with_client_id(operation.request, data, request.headers.get("Idempotency-Key"))


async def _body(request: web.Request) -> bytes:
    """Unpacked; a body that is not packed as its Content-Encoding says is the client's mistake."""
    try:
        return await request.read()
    except web.RequestPayloadError as error:
        raise PresenceError(INVALID_INPUT, "The body could not be read.") from error


def _object(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PresenceError(INVALID_INPUT, f"The body is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise PresenceError(INVALID_INPUT, "The body must be a JSON object.")
    return decoded
