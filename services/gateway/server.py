"""The HTTP server: every route has the same CORS rules, request ids, errors and limits by address."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from libs.common.contracts.registry import Limit
from libs.common.edge.allowed_origins import AllowedOrigins, allowed_origins
from libs.common.edge.limits import LimitHere
from libs.common.edge.origin import client_address
from libs.common.errors import (
    INTERNAL,
    INVALID_INPUT,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    RATE_LIMITED,
    TOO_LARGE,
    PresenceError,
)
from libs.common.ids import new_id
from libs.common.metrics import HTTP_REQUESTS
from services.gateway.body import MAX_BODY, ClientGone
from services.gateway.in_hand import InHand
from services.gateway.paths import OperationPath
from services.gateway.refusals import Refusals
from services.gateway.settings import Settings

_log = structlog.get_logger(__name__)
DRAIN_SECONDS = 5.0  # a keep-alive connection may linger that long while the server stops
PAGES = Limit(600, 60, per_address=True)
"""Limits what is no operation: health, and paths where there is nothing."""
HEALTH = ("/health", "/api/health")
"""Answered by a gateway that is full, too: it is not ill."""
CLIENT_GONE = 499  # the status in our metrics of a request whose client left before it was read, as in nginx's logs
ADDRESS: web.RequestKey[str] = web.RequestKey("address", str)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
OPERATION: web.RequestKey[str] = web.RequestKey("operation", str)
_EXPOSED = "Content-Range, ETag, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id"
_ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-Account, X-Challenge, X-Pubkey, X-Signature"
_KINDS = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: TOO_LARGE}  # of what aiohttp itself refuses

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """A component around an aiohttp application; routes are added to `app` before it starts."""

    def __init__(self, settings: Settings) -> None:
        self._host = settings.http_host
        self._port = settings.http_port
        origins = allowed_origins(settings)
        limit = _limit(LimitHere(PAGES, settings.rate_limit_factor), _in_hand(settings), settings)
        errors = _errors(Refusals(hold=settings.rate_limit_factor > 0))
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[_cors(origins), errors, limit])
        # Bodies are unpacked by `body`, where what cannot be is an error like any other.
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=DRAIN_SECONDS, auto_decompress=False)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()


def _cors(origins: AllowedOrigins) -> Any:
    """Answers preflights, and names the origin in every answer to an allowed one (Fetch standard)."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        response = web.Response(status=204) if preflight else await handler(request)
        response.headers["Vary"] = ", ".join(("Origin", *response.headers.getall("Vary", ())))
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")  # tokens and what only some may see: RFC 6749, 5.1
        if allowed := origins.cors(origin):
            response.headers.update(allowed)
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
            if preflight:
                response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
                response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
                response.headers["Access-Control-Max-Age"] = "600"
        return response

    return middleware


def _in_hand(settings: Settings) -> InHand:
    return InHand(settings.requests, settings.requests_each if settings.rate_limit_factor > 0 else None)


def _limit(limit: LimitHere, in_hand: InHand, settings: Settings) -> Any:
    """Finds out a request's address, bounds how many are in hand, and counts what no operation counts.

    Raises `rate_limited` and `unavailable`.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[ADDRESS] = client_address(request.remote or "", request.headers, settings)
        if not isinstance(request.match_info.route.resource, OperationPath):
            state = limit.spend(request[ADDRESS])
            if state.exceeded:
                raise state.error()
        if request.path in HEALTH:
            return await handler(request)
        with in_hand.one(request[ADDRESS]):
            return await handler(request)

    return middleware


def _errors(refusals: Refusals) -> Any:
    """Turns every failure into an error body (docs/frontend.md) and gives every answer its request id."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = new_id()
        started = time.monotonic()
        with structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]):
            response = await _answer(request, handler)
        response.headers["X-Request-Id"] = request[REQUEST_ID]
        operation = request.get(OPERATION, "none")
        HTTP_REQUESTS.labels(operation, response.status).observe(time.monotonic() - started)
        if response.status == RATE_LIMITED.status:
            await refusals.hold(request[ADDRESS])
        return response

    return middleware


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except PresenceError as error:
        return error_response(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _from_http(request, error)
    except ClientGone:
        return web.Response(status=CLIENT_GONE)
    except asyncio.CancelledError:
        raise
    except Exception:
        _log.exception("request failed", path=request.path)
        return error_response(request, PresenceError(INTERNAL))


def _from_http(request: web.Request, error: web.HTTPException) -> web.Response:
    kind = _KINDS.get(error.status, INVALID_INPUT)
    text = "There is nothing at this path; see /docs." if kind is NOT_FOUND else ""
    response = error_response(request, PresenceError(kind, text))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def error_response(request: web.Request, error: PresenceError) -> web.Response:
    """Returns the answer to a failed request: status, JSON body and headers."""
    body = {**error.to_wire(), "request_id": request[REQUEST_ID]}
    headers = {"WWW-Authenticate": "Bearer"} if error.kind.status == 401 else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return web.json_response(body, status=error.kind.status, headers=headers)
