"""From the registry to REST routes: every `Http` binding becomes one, by the same few lines."""

from typing import Any

import msgspec
from aiohttp import web

from libs.common.bus.base import Bus, Caller
from libs.common.contracts.registry import Access, Http, Operation, Registry
from libs.common.contracts.schema import dump, from_query, load
from libs.common.edge import (
    Gatekeeper,
    RateLimits,
    client_address,
    require_admitted,
    require_more_than_admission,
    with_client_id,
    within_admission,
)
from libs.common.errors import FORBIDDEN, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity
from services.gateway.body import read_object
from services.gateway.guests import Guests
from services.gateway.proofs import Proofs
from services.gateway.server import OPERATION, REQUEST_ID, error_response

_GREEDY = ("space_id", "document_id")  # may hold a slash: `bob/my-post`, raw or percent-encoded


class Routes:
    """The generic REST edge."""

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        gatekeeper: Gatekeeper,
        guests: Guests,
        limits: RateLimits,
        trusted_proxies: tuple[str, ...],
    ) -> None:
        self._registry, self._bus = registry, bus
        self._guests = guests
        self._proofs, self._limits, self._trusted = Proofs(gatekeeper, limits), limits, trusted_proxies

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
            address = client_address(request.remote or "", request.headers.get("X-Forwarded-For"), self._trusted)
            token = await self._proofs.identify(request, address)
            require_access(operation.access, token.identity)
            budget = await self._limits.spend(operation, token.identity, address)
            try:
                if budget.exceeded:
                    raise budget.error()
                data = await _read(request, operation)
                require_admitted(token, data)
                require_more_than_admission(token, operation)
                data = within_admission(token, operation.request, data)
                command = load(operation.request, data)
                key = getattr(command, "client_message_id", None)
                identity = await self._guests.same_on_retry(token.identity, address, operation.name, key)
                reply = await self._bus.call(operation, command, Caller(identity, request[REQUEST_ID], address))
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


def require_access(access: Access, identity: Identity) -> None:
    """What the edge itself demands. Raises `unauthorized` or `forbidden`."""
    if access is Access.ACCOUNT and not (identity.account or identity.operator):
        raise PresenceError(UNAUTHORIZED, "This needs a Hive account; log in at /api/auth/login.")
    if access is Access.OPERATOR and not identity.operator:
        raise PresenceError(UNAUTHORIZED if identity.guest else FORBIDDEN, "This is for operators.")


async def _read(request: web.Request, operation: Operation[Any, Any]) -> dict[str, Any]:
    """Query, body and path as one object; the path wins. JSON is read whatever the Content-Type says."""
    data: dict[str, Any] = from_query(operation.request, request.query)
    if request.method != "GET":
        data.update(await read_object(request))
    data.update(request.match_info)
    return with_client_id(operation.request, data, request.headers.get("Idempotency-Key"))
