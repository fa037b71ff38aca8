"""Wiring of one realtime replica."""

from collections.abc import Iterable

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import default_registry
from libs.common.contracts.registry import Registry
from libs.common.edge import Gatekeeper, RateLimits, allowed_origins
from libs.common.ids import new_id
from libs.common.service import Component, Service
from libs.common.spaces import SpaceKey
from services.realtime.accounts import Accounts
from services.realtime.broadcast import Broadcast
from services.realtime.departure import Departure
from services.realtime.draining import Farewell
from services.realtime.ejection import Ejection
from services.realtime.entering import Entering
from services.realtime.entities import Entities
from services.realtime.expiry import Expiry
from services.realtime.fanout import Fanout
from services.realtime.grace import Grace
from services.realtime.lease import Lease
from services.realtime.naf import Naf
from services.realtime.poses import PoseTicker
from services.realtime.presence import Presence
from services.realtime.publisher import Publisher
from services.realtime.relay import Relays
from services.realtime.reporter import Reporter
from services.realtime.server import Server, SocketHttp
from services.realtime.settings import Settings
from services.realtime.signals import Signals
from services.realtime.sockets import Sockets
from services.realtime.voice import Voice
from services.realtime.wire import Member


def build(settings: Settings, bus: Bus | None = None, registry: Registry | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests, `registry` adds to what the product declares.

    `replica` names this process's life, so that a restarted one does not renew a dead one's lease.
    """
    registry = registry or default_registry()
    life = new_id()[-4:]
    replica = f"{settings.replica_id}-{life}"
    bus = bus or RabbitBus(settings.amqp_url, f"realtime {replica}")
    redis = RedisClient(settings.redis_url)

    server = Server(settings, life, allowed_origins(settings))
    presence = Presence(redis.redis, replica, settings.lease_seconds)
    broadcast = Broadcast(registry)
    poses = PoseTicker(redis.redis, broadcast, replica, settings.tick_seconds, settings.interest_above)
    fanout = Fanout(replica, redis, bus, presence, broadcast, poses, settings.gap_seconds, settings.head_seconds)

    def members() -> Iterable[tuple[SpaceKey, Member]]:
        return [(s.place.space, s.place.member) for s in sockets.sessions.values() if s.place]

    reporter = Reporter(bus, replica, members)
    departure = Departure(presence, fanout, reporter)
    grace = Grace(settings.grace_seconds, presence, departure)
    entering = Entering(replica, bus, fanout, presence, broadcast, reporter, poses, departure, grace)
    ejection = Ejection(
        bus, redis.redis, fanout.spaces, lambda: sockets.sessions.values(), entering.leave, lambda s: sockets.end(s)
    )
    fanout.delivered = ejection.on_event
    lease = Lease(
        presence,
        reporter,
        settings.lease_seconds,
        entering.register_again,
        lambda: grace.keeps_anyone,
        ejection.look,
    )
    gatekeeper = Gatekeeper(bus, redis, settings, "realtime")
    limits = RateLimits(settings.redis_url, settings.rate_limit_factor)
    publisher = Publisher(redis.redis)
    relays = Relays(fanout, broadcast, publisher, replica)
    naf = Naf(bus, entering, relays, fanout)
    signals = Signals(relays, poses, Entities(relays), presence, gatekeeper, naf)
    sockets = Sockets(server, registry, bus, gatekeeper, limits, entering, signals, naf, settings)
    voice = Voice(fanout, poses)
    expiry = Expiry(sockets)
    accounts = Accounts(fanout.channels, lambda: sockets.sessions.values())
    http = SocketHttp(server, settings.http_host, settings.http_port)

    shared: list[Component] = [redis, fanout, accounts, bus, reporter, grace, ejection, lease, publisher]
    return Service("realtime", [*shared, poses, voice, expiry, Farewell(server, sockets), http])
