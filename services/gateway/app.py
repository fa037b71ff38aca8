"""Wiring of the gateway."""

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
from services.gateway.primary_notices import PrimaryNotices
from services.gateway.proofs import Proofs
from services.gateway.routes import Routes
from services.gateway.server import HttpServer
from services.gateway.settings import Settings


def build(settings: Settings, bus: Bus | None = None, registry: Registry | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests, `registry` adds to what the product declares."""
    registry = registry or default_registry()
    bus = bus or RabbitBus(settings.amqp_url, "gateway")
    redis = RedisClient(settings.redis_url)
    limits = RateLimits(settings.redis_url, settings.rate_limit_factor)
    gatekeeper = Gatekeeper(bus, redis, limits, settings, "gateway")

    server = HttpServer(settings)
    commands = Commands(bus, limits, Guests(redis).author)
    Routes(registry, commands, Proofs(gatekeeper, limits)).add_to(server.app.router)
    PrimaryNotices(bus, redis, limits, settings.primary_webhook_secret).add_to(server.app.router)
    Health(bus, redis).add_to(server.app.router)

    return Service("gateway", [redis, bus, gatekeeper.keys, server], is_edge=True)
