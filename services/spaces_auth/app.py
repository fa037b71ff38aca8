"""Wiring of spaces_auth: every operation it answers, on one screen."""

from datetime import timedelta

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.cache.changes import Changes
from libs.common.clock import now
from libs.common.contracts import analytics, auth, content, events, log, moderation, spaces, voice
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.db.sealing import Sealer
from libs.common.hive import HiveClient
from libs.common.service import Component, Service
from services.spaces_auth.analytics.activity import ActivityRecorder
from services.spaces_auth.analytics.analytics import AnalyticsHandlers
from services.spaces_auth.analytics.summaries import Summaries
from services.spaces_auth.communities.communities import Communities
from services.spaces_auth.consumers import Consumers
from services.spaces_auth.content.scenes import Addresses
from services.spaces_auth.content.space_content import SpaceContentHandlers
from services.spaces_auth.events.event_clock import EventClock
from services.spaces_auth.events.event_places import PlaceHandlers
from services.spaces_auth.events.event_rules import EventRules
from services.spaces_auth.events.events import EventHandlers
from services.spaces_auth.events.passwords import Passwords
from services.spaces_auth.joining.join import JoinHandlers
from services.spaces_auth.joining.presence import PresenceHandlers
from services.spaces_auth.joining.review import ReviewHandlers
from services.spaces_auth.joining.turn import TurnHandlers
from services.spaces_auth.login.hive_authority import HiveAuthority
from services.spaces_auth.login.key_publication import KeyPublication
from services.spaces_auth.login.login import LoginHandlers
from services.spaces_auth.login.signing_keys import SigningKeys, lifetimes
from services.spaces_auth.moderation.access_epochs import AccessEpochs
from services.spaces_auth.moderation.audited_changes import AuditedChanges
from services.spaces_auth.moderation.content_audit import ContentAudit
from services.spaces_auth.moderation.moderation import ModerationHandlers
from services.spaces_auth.moderation.roles import RoleHandlers
from services.spaces_auth.moderation.space_settings import SpaceSettingsHandlers
from services.spaces_auth.retention.retention import Retention
from services.spaces_auth.settings import Settings
from services.spaces_auth.spaces.history import HistoryHandlers
from services.spaces_auth.spaces.naf_room_names import RoomNameHandlers
from services.spaces_auth.spaces.space_detail import SpaceDetailHandlers
from services.spaces_auth.spaces.space_list import SpaceListHandlers


def build(settings: Settings, bus: Bus | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests."""
    bus = bus or RabbitBus(settings.amqp_url, "spaces_auth")
    database = Database(settings.database_url, "spaces_auth", settings.database_pool)
    reads = Database.reading(settings.database_url, "spaces_auth", settings.database_reads)
    admitting = Database.reading(settings.database_url, "spaces_auth", settings.database_reads)
    searches = Database.costly(settings.database_url, "spaces_auth", settings.database_costly)
    for_analytics = Database.costly(settings.database_url, "spaces_auth", settings.database_costly)
    redis = RedisClient(settings.redis_url)
    hive = HiveClient(settings.hive_nodes, settings.hive_timeout)
    told = Changes(redis)
    event_log = EventLog(database, bus, told.tell)
    lives = lifetimes(settings)
    keys = SigningKeys(database, Sealer(settings.secret_key), settings.public_url, lives)
    publication = KeyPublication(keys, redis.redis, round(lives.token.total_seconds()))
    turn = TurnHandlers(settings)

    authority = HiveAuthority(hive, redis.redis, settings.authority_depth)
    logins = LoginHandlers(settings, database, redis.redis, keys, authority)
    space_list = SpaceListHandlers(reads, searches, redis.redis, settings.operators)
    addresses = Addresses(settings.public_url, settings.apps_url)
    epochs = AccessEpochs(redis.redis)
    communities = Communities(event_log, epochs, hive)
    shown = SpaceContentHandlers(reads, redis.redis, communities, settings.operators, addresses)
    space_detail = SpaceDetailHandlers(reads, redis.redis, communities, settings.operators)
    join = JoinHandlers(settings, admitting, redis.redis, keys, turn, communities)
    changes = AuditedChanges(event_log, epochs, settings.operators)
    sanctions = ModerationHandlers(database, reads, redis.redis, changes)
    space_settings = SpaceSettingsHandlers(database, changes, settings.operators)
    roles = RoleHandlers(database, reads, changes, settings.operators)
    review = ReviewHandlers(database, redis.redis, event_log, epochs, communities, settings.operators)
    views = AnalyticsHandlers(database, for_analytics, settings.operators)
    summaries = Summaries(for_analytics)
    presence = PresenceHandlers(event_log)
    history = HistoryHandlers(reads)
    rules, passwords = EventRules(settings.operators, timedelta(minutes=settings.event_grace_minutes)), Passwords()
    held = EventHandlers(event_log, reads, epochs, rules, passwords, settings.events_per_account, settings.public_url)
    places = PlaceHandlers(event_log, epochs, rules, passwords)

    bus.serve(auth.challenge, logins.challenge)
    bus.serve(auth.login, logins.login)
    bus.serve(auth.prove, logins.prove)
    bus.serve(auth.guest, logins.guest)
    bus.serve(auth.refresh, logins.refresh)
    bus.serve(auth.logout, logins.logout)
    bus.serve(auth.me, logins.me)
    bus.serve(auth.jwks, logins.jwks)
    bus.serve(spaces.list_spaces, space_list.list_spaces)
    bus.serve(spaces.get_space, space_detail.get_space)
    bus.serve(content.get_content, shown.get_content)
    bus.serve(spaces.join, join.join)
    bus.serve(spaces.leave, review.leave)
    bus.serve(spaces.list_subrooms, space_detail.list_subrooms)
    bus.serve(spaces.review, review.review)
    bus.serve(spaces.resolve_room, RoomNameHandlers(reads).resolve)
    bus.serve(spaces.resolve_document, space_detail.resolve_document)
    bus.serve(spaces.record_presence, presence.record)
    bus.serve(events.list_events, held.list_events)
    bus.serve(events.create_event, held.create_event)
    bus.serve(events.get_event, held.get_event)
    bus.serve(events.get_calendar, held.get_calendar)
    bus.serve(events.change_event, held.change_event)
    bus.serve(events.cancel_event, held.cancel_event)
    bus.serve(events.take_place, places.take_place)
    bus.serve(events.give_place_back, places.give_place_back)
    bus.serve(events.verify_access, places.verify_access)
    bus.serve(moderation.update_settings, space_settings.update_settings)
    bus.serve(moderation.list_roles, roles.list_roles)
    bus.serve(moderation.get_role, roles.get_role)
    bus.serve(moderation.set_role, roles.set_role)
    bus.serve(moderation.remove_role, roles.remove_role)
    bus.serve(moderation.list_bans, sanctions.list_bans)
    bus.serve(moderation.ban, sanctions.ban)
    bus.serve(moderation.unban, sanctions.unban)
    bus.serve(moderation.mute, sanctions.mute)
    bus.serve(moderation.unmute, sanctions.unmute)
    bus.serve(moderation.kick, sanctions.kick)
    bus.serve(moderation.list_audit, sanctions.list_audit)
    bus.serve(analytics.popular, views.popular)
    bus.serve(analytics.engagement, views.engagement)
    bus.serve(analytics.voice, views.voice)
    bus.serve(analytics.documents, views.documents)
    bus.serve(analytics.movement, views.movement)
    bus.serve(voice.report_connection, views.report_connection)
    bus.serve(voice.turn_credentials, turn.credentials)
    bus.serve(log.events_since, history.events_since)
    bus.serve(log.heads, history.heads)
    bus.subscribe("spaces_auth", Consumers(epochs, ContentAudit(database), ActivityRecorder(database)).on_events)

    retention = Retention(database, settings.log_days, settings.stay_log_days, now)
    clock = EventClock(event_log, epochs, timedelta(minutes=settings.event_reminder_minutes), settings.log_days)
    pools = [database, reads, admitting, searches, for_analytics]
    by_time: list[Component] = [publication, retention, summaries, communities, clock]
    return Service("spaces_auth", [*pools, redis, hive, told, event_log, *by_time, bus])
