"""Wiring of spaces_auth: every operation it answers, on one screen."""

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import auth, log, spaces, voice
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.hive import HiveClient
from libs.common.sealing import Sealer
from libs.common.service import Service
from services.spaces_auth.activity import ActivityRecorder
from services.spaces_auth.history import HistoryHandlers
from services.spaces_auth.hive_authority import HiveAuthority
from services.spaces_auth.join import JoinHandlers
from services.spaces_auth.keys import SigningKeys
from services.spaces_auth.login import LoginHandlers
from services.spaces_auth.presence import PresenceHandlers
from services.spaces_auth.rooms import RoomHandlers
from services.spaces_auth.settings import Settings
from services.spaces_auth.spaces import SpacesHandlers
from services.spaces_auth.turn import Turn


def build(settings: Settings, bus: Bus | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests."""
    bus = bus or RabbitBus(settings.amqp_url, "spaces_auth")
    database = Database(settings.database_url, "spaces_auth", settings.database_pool)
    redis = RedisClient(settings.redis_url)
    hive = HiveClient(settings.hive_nodes, settings.hive_timeout)
    event_log = EventLog(database, bus)
    keys = SigningKeys(database, Sealer(settings.secret_key), settings.public_url)
    turn = Turn(settings)

    logins = LoginHandlers(settings, database, redis.redis, keys, HiveAuthority(hive, redis.redis))
    finding = SpacesHandlers(database, redis.redis, settings.operators)
    joining = JoinHandlers(settings, database, redis.redis, keys, turn)
    recording = PresenceHandlers(event_log)
    history = HistoryHandlers(database)

    bus.serve(auth.challenge, logins.challenge)
    bus.serve(auth.login, logins.login)
    bus.serve(auth.guest, logins.guest)
    bus.serve(auth.refresh, logins.refresh)
    bus.serve(auth.logout, logins.logout)
    bus.serve(auth.me, logins.me)
    bus.serve(auth.jwks, logins.jwks)
    bus.serve(spaces.list_spaces, finding.list_spaces)
    bus.serve(spaces.get_space, finding.get_space)
    bus.serve(spaces.join, joining.join)
    bus.serve(spaces.authorize, joining.authorize)
    bus.serve(spaces.resolve_room, RoomHandlers(database).resolve)
    bus.serve(spaces.record_presence, recording.record)
    bus.serve(voice.turn_credentials, turn.credentials)
    bus.serve(log.events_since, history.events_since)
    bus.serve(log.heads, history.heads)
    bus.subscribe("spaces_auth", ActivityRecorder(database).on_event)

    return Service("spaces_auth", [database, redis, hive, event_log, bus])
