"""Wiring of one realtime replica."""

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import default_registry
from libs.common.contracts.registry import Registry
from libs.common.edge.allowed_origins import allowed_origins
from libs.common.edge.commands import Commands
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.edge.limits import RateLimits
from libs.common.ids import new_id
from libs.common.service import Component, Service
from services.realtime.clients.account_channel import AccountChannel
from services.realtime.clients.draining import Draining
from services.realtime.clients.expiry import Expiry
from services.realtime.clients.signals import Signals
from services.realtime.clients.sockets import Sockets
from services.realtime.clients.things import Things
from services.realtime.cluster.presence import Presence
from services.realtime.cluster.publisher import Publisher
from services.realtime.membership.departure import Departure
from services.realtime.membership.ejection import Ejection
from services.realtime.membership.entering import Entering
from services.realtime.membership.grace import Grace
from services.realtime.membership.lease import Lease
from services.realtime.membership.reporter import Reporter
from services.realtime.naf.adapter import NafAdapter
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client_table import ClientTable
from services.realtime.settings import Settings
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.space.parts import SpaceListener, SpaceParts
from services.realtime.space.peers import Peers
from services.realtime.space.voice_states import VoiceStates
from services.realtime.transport.server import Server, SocketHttp
from services.realtime.voice import Voice


def build(settings: Settings, bus: Bus | None = None, registry: Registry | None = None) -> Service:
    """Returns the service; `bus` replaces RabbitMQ in tests, `registry` adds to what the product declares.

    `replica` names this process's life, so that a restarted one does not renew a dead one's lease.
    """
    registry = registry or default_registry()
    life = new_id()[-4:]
    replica = f"{settings.replica_id}-{life}"
    bus = bus or RabbitBus(settings.amqp_url, f"realtime {replica}")
    redis = RedisClient(settings.redis_url)
    limits = RateLimits(settings.redis_url, settings.rate_limit_factor)
    gatekeeper = Gatekeeper(bus, redis, limits, settings, "realtime")

    server = Server(settings, life, allowed_origins(settings))
    clients = ClientTable(server)
    presence = Presence(redis.redis, replica, settings.lease_seconds)
    publisher = Publisher(redis.redis)
    broadcast = Broadcast(registry)
    poses = PoseTicker(redis.redis, broadcast, replica, settings.tick_seconds, settings.interest_above)

    listeners: list[SpaceListener] = []  # NAF and the ejection, which both need the spaces first
    parts = SpaceParts(replica, bus, presence, publisher, broadcast, poses, settings.gap_seconds, listeners)
    held_spaces = HeldSpaces(redis, parts, settings.head_seconds)
    peers = Peers(held_spaces, publisher, replica)

    reporter = Reporter(bus, replica, poses.position_of)
    departure = Departure(presence, held_spaces, reporter)
    grace = Grace(settings.grace_seconds, presence, departure)
    entering = Entering(bus, held_spaces, presence, broadcast, poses, reporter, departure, grace)
    voice_states = VoiceStates(peers, presence)
    ejection = Ejection(bus, redis.redis, held_spaces.by_key, clients, entering.leave, voice_states.silence)
    lease = Lease(presence, reporter, entering, grace, ejection, settings.lease_seconds)

    naf = NafAdapter(bus, entering, peers, publisher, replica)
    listeners += [naf, ejection]
    voice = Voice(held_spaces, poses)

    signals = Signals(peers, poses, presence, voice_states, gatekeeper, naf, Things(presence.things))
    Sockets(server, clients, registry, Commands(bus, limits), gatekeeper, entering, signals, naf, settings)
    accounts = AccountChannel(held_spaces.channels, clients)
    draining = Draining(server, clients, entering)
    http = SocketHttp(server, settings.http_host, settings.http_port)

    shared: list[Component] = [redis, held_spaces, accounts, bus, gatekeeper.keys, reporter, grace, ejection, lease]
    return Service("realtime", [*shared, publisher, poses, voice, Expiry(clients), draining, http], is_edge=True)
