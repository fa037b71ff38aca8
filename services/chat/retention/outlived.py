"""Rows of no use without messages that are gone, by the column that says how old they are."""

from libs.common.db.models.chat import (
    ChatCommand,
    ChatPace,
    Notification,
    SubspaceReadCursor,
    ThreadReadCursor,
)
from libs.common.db.pruning import Moment

OLD: tuple[Moment, ...] = (ChatCommand.created_at, Notification.created_at)
TURNS: tuple[Moment, ...] = (ChatPace.posted_at,)  # of use for as long as slow mode can last
WITH_MONTH: tuple[Moment, ...] = (
    SubspaceReadCursor.updated_at,
    ThreadReadCursor.updated_at,
)  # of use while the month they point to exists
