"""Wiring of spaces_auth: every operation it answers, on one screen."""

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import analytics, auth, log, moderation, spaces, voice
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.db.sealing import Sealer
from libs.common.hive import HiveClient
from libs.common.service import Service
from services.spaces_auth.analytics.activity import ActivityRecorder
from services.spaces_auth.analytics.analytics import AnalyticsHandlers
from services.spaces_auth.consumers import Consumers
from services.spaces_auth.joining.join import JoinHandlers
from services.spaces_auth.joining.presence import PresenceHandlers
from services.spaces_auth.joining.review import ReviewHandlers
from services.spaces_auth.joining.turn import Turn
from services.spaces_auth.login.hive_authority import HiveAuthority
from services.spaces_auth.login.login import LoginHandlers
from services.spaces_auth.login.signing_keys import SigningKeys, lifetimes
from services.spaces_auth.moderation.access_epochs import Epochs
from services.spaces_auth.moderation.audited_changes import Acting
from services.spaces_auth.moderation.moderation import ModerationHandlers
from services.spaces_auth.moderation.space_settings import GoverningHandlers
from services.spaces_auth.retention.retention import Retention
from services.spaces_auth.settings import Settings
from services.spaces_auth.spaces.history import HistoryHandlers
from services.spaces_auth.spaces.naf_room_names import RoomHandlers
from services.spaces_auth.spaces.space_detail import SpacesHandlers
from services.spaces_auth.spaces.space_list import Finding


def build(settings: Settings, bus: Bus | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests."""
    bus = bus or RabbitBus(settings.amqp_url, "spaces_auth")
    database = Database(settings.database_url, "spaces_auth", settings.database_pool)
    redis = RedisClient(settings.redis_url)
    hive = HiveClient(settings.hive_nodes, settings.hive_timeout)
    event_log = EventLog(database, bus)
    keys = SigningKeys(database, Sealer(settings.secret_key), settings.public_url, lifetimes(settings))
    turn = Turn(settings)

    logins = LoginHandlers(settings, database, redis.redis, keys, HiveAuthority(hive, redis.redis))
    looking = SpacesHandlers(database, redis.redis, settings.operators)
    joining = JoinHandlers(settings, database, redis.redis, keys, turn)
    epochs = Epochs(redis.redis)
    acting = Acting(event_log, epochs, settings.operators)
    moderating = ModerationHandlers(database, redis.redis, acting)
    governing = GoverningHandlers(database, acting, settings.operators)
    reviewing = ReviewHandlers(database, redis.redis, event_log, epochs, settings.operators)
    analysing = AnalyticsHandlers(database, settings.operators)
    recording = PresenceHandlers(event_log)
    history = HistoryHandlers(database)

    bus.serve(auth.challenge, logins.challenge)
    bus.serve(auth.login, logins.login)
    bus.serve(auth.prove, logins.prove)
    bus.serve(auth.guest, logins.guest)
    bus.serve(auth.refresh, logins.refresh)
    bus.serve(auth.logout, logins.logout)
    bus.serve(auth.me, logins.me)
    bus.serve(auth.jwks, logins.jwks)
    bus.serve(spaces.list_spaces, Finding(database, redis.redis, settings.operators).list_spaces)
    bus.serve(spaces.get_space, looking.get_space)
    bus.serve(spaces.join, joining.join)
    bus.serve(spaces.leave, reviewing.leave)
    bus.serve(spaces.list_subrooms, looking.list_subrooms)
    bus.serve(spaces.review, reviewing.review)
    bus.serve(spaces.resolve_room, RoomHandlers(database).resolve)
    bus.serve(spaces.record_presence, recording.record)
    bus.serve(moderation.update_settings, governing.update_settings)
    bus.serve(moderation.list_roles, governing.list_roles)
    bus.serve(moderation.get_role, governing.get_role)
    bus.serve(moderation.set_role, governing.set_role)
    bus.serve(moderation.remove_role, governing.remove_role)
    bus.serve(moderation.list_bans, moderating.list_bans)
    bus.serve(moderation.ban, moderating.ban)
    bus.serve(moderation.unban, moderating.unban)
    bus.serve(moderation.mute, moderating.mute)
    bus.serve(moderation.unmute, moderating.unmute)
    bus.serve(moderation.kick, moderating.kick)
    bus.serve(moderation.list_audit, moderating.list_audit)
    bus.serve(analytics.popular, analysing.popular)
    bus.serve(analytics.engagement, analysing.engagement)
    bus.serve(analytics.voice, analysing.voice)
    bus.serve(analytics.documents, analysing.documents)
    bus.serve(analytics.movement, analysing.movement)
    bus.serve(voice.report_connection, analysing.report_connection)
    bus.serve(voice.turn_credentials, turn.credentials)
    bus.serve(log.events_since, history.events_since)
    bus.serve(log.heads, history.heads)
    bus.subscribe("spaces_auth", Consumers(epochs, ActivityRecorder(database)).on_events)

    return Service("spaces_auth", [database, redis, hive, event_log, Retention(database), bus])
