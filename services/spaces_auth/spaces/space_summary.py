"""The summary of a space that everybody who may see it gets."""

from typing import Any

from sqlalchemy import Row

from libs.common.access import Standing
from libs.common.contracts.spaces import SpaceSummary
from services.spaces_auth.spaces import live

LOBBY_TITLE = "The lobby"
LOBBY_TEXT = "Where everyone meets: the main social space."


def summary(standing: Standing, content: Row[Any] | None, active_users: int) -> SpaceSummary:
    """Returns the summary; `content` is None for the lobby, which has none behind it."""
    space, settings = standing.space, standing.settings
    return SpaceSummary(
        space_type=space.space_type,
        space_id=space.space_id,
        display_name=content.display_name if content else LOBBY_TITLE,
        description=content.description if content else LOBBY_TEXT,
        type=content.type if content else "lobby",
        creator=content.creator if content else None,
        votes=content.votes if content else 0,
        rating=content.rating if content else 0.0,
        active_users=active_users,
        capacity=live.capacity(active_users, settings["max_users"]),
        settings=dict(settings),
        created_at=content.created_at if content else None,
    )
