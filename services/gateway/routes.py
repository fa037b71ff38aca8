"""Makes REST routes from the registry: one for each `Http` binding."""

from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from libs.common.contracts.registry import Http, Operation, Registry
from libs.common.contracts.schema import dump, from_query
from libs.common.edge.commands import ClientCall, Commands
from libs.common.edge.origin import client_address
from libs.common.errors import PresenceError
from libs.common.settings import EdgeSettings
from services.gateway.body import read_object
from services.gateway.proofs import Proofs
from services.gateway.server import OPERATION, REQUEST_ID, error_response

_GREEDY = ("space_id", "document_id")  # may hold a slash: `bob/my-post`, raw or percent-encoded


class Routes:
    """The generic REST edge; `add_to` puts its routes into a router."""

    def __init__(
        self,
        registry: Registry,
        commands: Commands,
        proofs: Proofs,
        settings: EdgeSettings,
    ) -> None:
        self._registry = registry
        self._commands = commands
        self._proofs = proofs
        self._settings = settings

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the routes. A path that ends in a greedy part goes last, or it would swallow the longer ones."""
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
            address = client_address(request.remote or "", request.headers, self._settings)
            token = await self._proofs.identify(request, address)
            key = request.headers.get("Idempotency-Key")
            call = ClientCall(operation, token, address, request[REQUEST_ID], key)
            try:
                reply = await self._commands.carry_out(call, partial(_read, request, operation))
                response = web.json_response(body=_encode(dump(reply)), status=binding.status)
            except PresenceError as error:
                response = error_response(request, error)
            if call.limit:
                response.headers.update(call.limit.headers())
            return response

        return handle


_encode = msgspec.json.Encoder().encode


def _ends_greedy(path: str) -> bool:
    return path.endswith(tuple(f"{{{name}}}" for name in _GREEDY))


def _pattern(path: str) -> str:
    for name in _GREEDY:
        path = path.replace(f"{{{name}}}", f"{{{name}:.+}}")
    return path


async def _read(request: web.Request, operation: Operation[Any, Any]) -> dict[str, Any]:
    """Returns query, body and path as one object; the path wins. Reads JSON whatever the Content-Type says."""
    data: dict[str, Any] = from_query(operation.request, request.query)
    if request.method != "GET":
        data.update(await read_object(request))
    data.update(request.match_info)
    return data
