"""Wiring of the chat service."""

from collections.abc import Callable, Sequence
from datetime import datetime

from libs.common import clock as system_clock
from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import chat, documents, notifications
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.service import Service
from services.chat.comments.comments import Comments
from services.chat.messages.changes import Changing
from services.chat.messages.new_messages import Posting
from services.chat.messages.queries import Reading
from services.chat.messages.reactions import Reacting
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.recipients import Recipients
from services.chat.retention.retention import Retention
from services.chat.rules import filters as chain
from services.chat.rules.policy import Policy
from services.chat.settings import Settings
from services.chat.subscriptions.subscriptions import Subscriptions


def build(
    settings: Settings,
    bus: Bus | None = None,
    filters: Sequence[chain.Filter] | None = None,
    clock: Callable[[], datetime] = system_clock.now,
) -> Service:
    """The service; `bus` replaces RabbitMQ in tests, `filters` the chain that every text passes."""
    bus = bus or RabbitBus(settings.amqp_url, "chat")
    filters = chain.shipped() if filters is None else filters
    database = Database(settings.database_url, "chat", settings.database_pool)
    redis = RedisClient(settings.redis_url)
    log = EventLog(database, bus)
    policy = Policy(settings.operators)
    recipients = Recipients(policy)
    notifier = Notifier(redis)

    posting = Posting(database, log, policy, recipients, notifier, filters)
    reading = Reading(database, policy)
    changing = Changing(database, log, policy, reading, recipients, notifier, filters)
    reacting = Reacting(log, policy, reading)
    comments = Comments(database, log, policy, filters)
    subscribing = Subscriptions(database, policy, recipients)

    bus.serve(chat.post_message, posting.post_message)
    bus.serve(chat.list_messages, reading.list_messages)
    bus.serve(chat.get_message, reading.get_message)
    bus.serve(chat.list_thread, reading.list_thread)
    bus.serve(chat.message_history, reading.history)
    bus.serve(chat.snapshot, reading.snapshot)
    bus.serve(chat.edit_message, changing.edit_message)
    bus.serve(chat.delete_message, changing.delete_message)
    bus.serve(chat.react, reacting.react)
    bus.serve(chat.unreact, reacting.unreact)
    bus.serve(documents.post_comment, comments.post_comment)
    bus.serve(documents.list_comments, comments.list_comments)
    bus.serve(documents.get_comment, comments.get_comment)
    bus.serve(documents.comment_history, comments.history)
    bus.serve(documents.edit_comment, comments.edit_comment)
    bus.serve(documents.delete_comment, comments.delete_comment)
    bus.serve(documents.resolve_comment, comments.resolve_comment)
    bus.serve(documents.reopen_comment, comments.reopen_comment)
    bus.serve(notifications.get_subscription, subscribing.get_subscription)
    bus.serve(notifications.set_subscription, subscribing.set_subscription)
    bus.serve(notifications.mark_read, subscribing.mark_read)
    bus.serve(notifications.list_notifications, subscribing.list_notifications)
    bus.serve(notifications.read_notifications, subscribing.read_notifications)

    retention = Retention(database, settings.chat_archive, clock)
    return Service("chat", [database, redis, notifier, log, retention, bus])
