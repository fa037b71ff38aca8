"""Takes the primary's word that it changed: `POST /api/webhooks/primary`, signed as Standard Webhooks are.

Nothing that a notice says is believed: it starts a sync cycle, which reads the primary itself. The route is there only
where a secret is set.
"""

import hashlib
from datetime import timedelta

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from libs.common import cache
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import content
from libs.common.contracts.auth import Empty
from libs.common.edge.limits import RateLimits
from libs.common.errors import TOO_LARGE, UNAUTHORIZED, PresenceError
from libs.common.identity import guest_identity, service_identity
from libs.common.ids import new_id
from libs.common.settings import SettingsError
from services.gateway.server import ADDRESS, OPERATION, REQUEST_ID

PATH = "/api/webhooks/primary"
MOST_BYTES = 4096  # of a notice
REMEMBERED = timedelta(minutes=11)  # how long an id is: a notice is refused five minutes before and after its time


class PrimaryNotices:
    """The route of the primary's notices, for whoever knows `secret`."""

    def __init__(self, bus: Bus, redis: cache.RedisClient, limits: RateLimits, secret: str) -> None:
        self._bus = bus
        self._redis = redis
        self._limits = limits
        self._webhook = _webhook(secret) if secret else None

    def add_to(self, router: web.UrlDispatcher) -> None:
        if self._webhook:
            router.add_post(PATH, self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        """Answers 202 once a cycle is to start, or was for the same notice. Raises `unauthorized`, `rate_limited`,
        `too_large`, and `unavailable`, and then the notice may be sent again.
        """
        request[OPERATION] = content.primary_changed.name
        limit = await self._limits.spend(content.primary_changed, guest_identity(new_id()), request[ADDRESS])
        if limit.exceeded:
            raise limit.error()
        notice = await self._verified(request)
        with cache.redis_unavailable():
            is_new = await self._redis.redis.set(notice, "", nx=True, ex=REMEMBERED)
        if is_new:
            try:
                caller = Caller(service_identity("gateway"), request[REQUEST_ID])
                await self._bus.call(content.primary_changed, Empty(), caller)
            except PresenceError:
                with cache.redis_unavailable():
                    await self._redis.redis.delete(notice)
                raise
        return web.json_response({}, status=202)

    async def _verified(self, request: web.Request) -> str:
        """Returns the key under which a notice is remembered. Raises `too_large` and `unauthorized`."""
        if (request.content_length or 0) > MOST_BYTES:
            raise PresenceError(TOO_LARGE)
        body = await request.read()
        if len(body) > MOST_BYTES:
            raise PresenceError(TOO_LARGE)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            if self._webhook:
                self._webhook.verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError) as error:
            raise PresenceError(UNAUTHORIZED, "The signature does not hold.") from error
        return cache.primary_notice(hashlib.sha256(headers["webhook-id"].encode()).hexdigest())


def _webhook(secret: str) -> Webhook:
    """Returns what verifies by a secret: the base64 behind `whsec_`, else its UTF-8 bytes. Raises `SettingsError`."""
    if not secret.startswith("whsec_"):
        return Webhook(secret.encode())
    try:
        return Webhook(secret)
    except (ValueError, RuntimeError) as error:
        raise SettingsError("PRESENCE_PRIMARY_WEBHOOK_SECRET holds no base64 behind whsec_.") from error
