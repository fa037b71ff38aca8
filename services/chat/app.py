"""Wiring of the chat service."""

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts import chat
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.service import Service
from libs.common.settings import DatabaseSettings
from services.chat.handlers import ChatHandlers


def build(settings: DatabaseSettings, bus: Bus | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests."""
    bus = bus or RabbitBus(settings.amqp_url, "chat")
    database = Database(settings.database_url, "chat", settings.database_pool)
    log = EventLog(database, bus)
    handlers = ChatHandlers(database, log, settings.operators)

    bus.serve(chat.post_message, handlers.post_message)
    bus.serve(chat.list_messages, handlers.list_messages)
    bus.serve(chat.snapshot, handlers.snapshot)

    return Service("chat", [database, log, bus])
