"""Wiring of chat: every operation it answers, on one screen."""

from collections.abc import Callable, Sequence
from datetime import datetime

from libs.common import clock as system_clock
from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.cache.changes import Changes
from libs.common.contracts import chat, documents, notifications
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.service import Service
from services.chat.comments.comment_queries import CommentQueryHandlers
from services.chat.comments.comments import CommentHandlers
from services.chat.inbox.notification_list import NotificationHandlers
from services.chat.inbox.subscriptions import SubscriptionHandlers
from services.chat.messages.changes import ChangeHandlers
from services.chat.messages.new_messages import PostHandlers
from services.chat.messages.queries import QueryHandlers
from services.chat.messages.reactions import ReactionHandlers
from services.chat.notifications.notices import Notices
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.recipients import Recipients
from services.chat.retention.retention import Retention
from services.chat.rules.filters import Filter, shipped
from services.chat.rules.policy import Policy
from services.chat.settings import Settings


def build(
    settings: Settings,
    bus: Bus | None = None,
    filters: Sequence[Filter] | None = None,
    clock: Callable[[], datetime] = system_clock.now,
) -> Service:
    """Returns the service; `bus` replaces RabbitMQ in tests, `filters` the chain that every text passes."""
    bus = bus or RabbitBus(settings.amqp_url, "chat")
    filters = shipped() if filters is None else filters
    database = Database(settings.database_url, "chat", settings.database_pool)
    reads = Database.reading(settings.database_url, "chat", settings.database_reads)
    searches = Database.costly(settings.database_url, "chat", settings.database_costly)
    redis = RedisClient(settings.redis_url)
    told = Changes(redis)
    log = EventLog(database, bus, told.tell)
    policy = Policy(settings.operators)
    recipients = Recipients(policy)
    notifier = Notifier(redis)

    posts = PostHandlers(database, log, policy, recipients, notifier, filters)
    queries = QueryHandlers(reads, searches, policy)
    changes = ChangeHandlers(log, policy, recipients, notifier, filters)
    reactions = ReactionHandlers(log, policy)
    comments = CommentHandlers(database, log, policy, recipients, notifier, filters)
    comment_queries = CommentQueryHandlers(reads, policy)
    subscriptions = SubscriptionHandlers(database, reads, policy, recipients)
    notification_list = NotificationHandlers(database, reads, policy)

    bus.serve(chat.post_message, posts.post_message)
    bus.serve(chat.list_messages, queries.list_messages)
    bus.serve(chat.get_message, queries.get_message)
    bus.serve(chat.list_thread, queries.list_thread)
    bus.serve(chat.message_history, queries.history)
    bus.serve(chat.snapshot, queries.snapshot)
    bus.serve(chat.edit_message, changes.edit_message)
    bus.serve(chat.delete_message, changes.delete_message)
    bus.serve(chat.react, reactions.react)
    bus.serve(chat.unreact, reactions.unreact)
    bus.serve(documents.post_comment, comments.post_comment)
    bus.serve(documents.list_comments, comment_queries.list_comments)
    bus.serve(documents.get_comment, comment_queries.get_comment)
    bus.serve(documents.comment_history, comment_queries.history)
    bus.serve(documents.edit_comment, comments.edit_comment)
    bus.serve(documents.delete_comment, comments.delete_comment)
    bus.serve(documents.resolve_comment, comments.resolve_comment)
    bus.serve(documents.reopen_comment, comments.reopen_comment)
    bus.serve(notifications.get_subscription, subscriptions.get_subscription)
    bus.serve(notifications.set_subscription, subscriptions.set_subscription)
    bus.serve(notifications.mark_read, subscriptions.mark_read)
    bus.serve(notifications.list_notifications, notification_list.list_notifications)
    bus.serve(notifications.read_notifications, notification_list.read_notifications)

    notices = Notices(database, notifier)
    retention = Retention(database, settings.chat_archive, clock)
    return Service("chat", [database, reads, searches, redis, notifier, notices, told, log, retention, bus])
