"""Makes REST routes from the registry: one for each `Http` binding."""

from functools import partial
from hashlib import blake2b
from typing import Any

import msgspec
from aiohttp import web

from libs.common.bus.base import Written
from libs.common.contracts.registry import Access, Http, Operation, Registry
from libs.common.contracts.schema import from_query
from libs.common.edge.commands import ClientCall, Commands
from libs.common.edge.gatekeeper import unidentified
from libs.common.errors import PresenceError
from libs.common.tokens import Token
from services.gateway.body import read_object
from services.gateway.paths import OperationPath, acquaint
from services.gateway.proofs import Proofs, require_no_signature
from services.gateway.server import ADDRESS, OPERATION, REQUEST_ID, error_response


class Routes:
    """The generic REST edge; `add_to` puts its routes into a router."""

    def __init__(self, registry: Registry, commands: Commands, proofs: Proofs) -> None:
        self._registry = registry
        self._commands = commands
        self._proofs = proofs

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds a resource for each path, with a route for each of its methods."""
        paths: dict[str, OperationPath] = {}
        for operation, binding in self._registry.bound(Http):
            if isinstance(operation, Operation):
                path = paths.setdefault(binding.path, OperationPath(binding.path))
                path.add_route(binding.method, self._handler(operation, binding))
        acquaint(paths.values())
        for path in paths.values():
            router.register_resource(path)

    def _handler(self, operation: Operation[Any, Any], binding: Http) -> Any:
        async def handle(request: web.Request) -> web.Response:
            request[OPERATION] = operation.name
            unseen = operation.access is Access.UNSEEN
            token = unidentified() if unseen else await self._proofs.identify(request, operation)
            key = request.headers.get("Idempotency-Key")
            call = ClientCall(operation, token, request[ADDRESS], request[REQUEST_ID], key)
            try:
                reply = await self._commands.carry_out(call, partial(_read, request, operation, token))
                response = _response(request, reply, binding)
            except PresenceError as error:
                response = error_response(request, error)
            if call.limit:
                response.headers.update(call.limit.headers())
            return response

        return handle


class _Text(msgspec.Struct):
    """The part of a reply that is an answer with a media type of its own."""

    text: str


def _response(request: web.Request, reply: Written, binding: Http) -> web.Response:
    """Returns the service's own bytes as the answer: what it wrote is what the client reads.

    One that is for all says so: whoever keeps it asks each time whether it is still the answer (RFC 9110, 13.1.2).
    """
    if binding.media_type:
        text = msgspec.json.decode(reply.json, type=_Text).text
        return web.Response(text=text, status=binding.status, content_type=binding.media_type, charset="utf-8")
    if not reply.for_all:
        return web.json_response(body=reply.json, status=binding.status)
    tag = blake2b(reply.json, digest_size=16).hexdigest()
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "no-cache", "Vary": "Authorization"}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.json_response(body=reply.json, status=binding.status, headers=headers)


async def _read(request: web.Request, operation: Operation[Any, Any], token: Token) -> dict[str, Any]:
    """Returns query, body and path as one object; the path wins. Reads JSON whatever the Content-Type says."""
    data: dict[str, Any] = from_query(operation.request, request.query)
    if request.method != "GET":
        data.update(await read_object(request))
    require_no_signature(token, operation, data)
    data.update(request.match_info)
    return data
