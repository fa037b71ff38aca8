"""Wiring of the gateway."""

from pathlib import Path

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import default_registry
from libs.common.contracts.registry import Registry
from libs.common.edge.commands import Commands
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.edge.limits import RateLimits
from libs.common.service import Service
from services.gateway.guests import Guests
from services.gateway.health import Health
from services.gateway.media.door import MediaDoor
from services.gateway.media.fetches import Fetches
from services.gateway.media.store import Store
from services.gateway.media.upstream import Upstream
from services.gateway.primary_notices import PrimaryNotices
from services.gateway.proofs import Proofs
from services.gateway.routes import Routes
from services.gateway.server import HttpServer
from services.gateway.settings import Settings
from services.gateway.shared.answers import SharedAnswers
from services.gateway.shared.hearing import Hearing
from services.gateway.shared.kept import Kept


def build(settings: Settings, bus: Bus | None = None, registry: Registry | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests, `registry` adds to what the product declares."""
    registry = registry or default_registry()
    bus = bus or RabbitBus(settings.amqp_url, "gateway")
    redis = RedisClient(settings.redis_url)
    limits = RateLimits(settings.redis_url, settings.rate_limit_factor)
    gatekeeper = Gatekeeper(bus, redis, limits, settings, "gateway")

    server = HttpServer(settings)
    kept = Kept(settings.shared_answers, settings.shared_answers_bytes)
    hearing = Hearing(redis, kept)
    shared = SharedAnswers(bus, hearing, kept)
    commands = Commands(bus, limits, Guests(redis).author, shared.ask)
    Routes(registry, commands, Proofs(gatekeeper, limits)).add_to(server.app.router)
    PrimaryNotices(bus, redis, limits, settings.primary_webhook_secret).add_to(server.app.router)
    Health(bus, redis, shared.standing).add_to(server.app.router)
    fetches = _fetches(settings) if settings.ipfs_gateway else None
    if fetches:
        MediaDoor(fetches).add_to(server.app.router)

    media = [fetches] if fetches else []
    return Service("gateway", [redis, bus, gatekeeper.keys, hearing, *media, server], is_edge=True)


def _fetches(settings: Settings) -> Fetches:
    store = Store(Path(settings.media_cache), settings.media_cache_bytes, settings.media_cache_files)
    at_once, each = settings.media_fetches, settings.media_fetches_each
    return Fetches(store, Upstream(settings), at_once, each, settings.rate_limit_factor)
