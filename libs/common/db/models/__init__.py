"""Every table, so that Alembic and the tests see the whole schema by one import."""

from libs.common.db.models import auth, chat, content, event_log, events, spaces, webhooks
from libs.common.db.models.base import Base

metadata = Base.metadata

__all__ = ["Base", "auth", "chat", "content", "event_log", "events", "metadata", "spaces", "webhooks"]
