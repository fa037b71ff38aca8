"""The summary of a space that everybody who may see it gets."""

from typing import Any

from sqlalchemy import Row

from libs.common.access import Standing
from libs.common.contracts.spaces import SpaceSummary
from libs.common.spaces import LOBBY, SpaceKey
from services.spaces_auth.spaces import live

TITLES = {"global": "The lobby", "community": "Community", "event": "Event"}
LOBBY_TEXT = "Where everyone meets: the main social space."


def summary(standing: Standing, content: Row[Any] | None, active_users: int) -> SpaceSummary:
    """Returns the summary; `content` is None for a space without content behind it."""
    space, settings = standing.space, standing.settings
    lobby = space == LOBBY
    return SpaceSummary(
        space_type=space.space_type,
        space_id=space.space_id,
        display_name=content.display_name if content else _title(space),
        description=content.description if content else LOBBY_TEXT if lobby else "",
        type=content.type if content else "lobby" if lobby else space.space_type,
        creator=content.creator if content else None,
        votes=content.votes if content else 0,
        rating=content.rating if content else 0.0,
        active_users=active_users,
        capacity=live.capacity(active_users, settings["max_users"]),
        settings=dict(settings),
        created_at=content.created_at if content else None,
    )


def _title(space: SpaceKey) -> str:
    title = TITLES[space.space_type]
    return title if space == LOBBY else f"{title} {space.space_id}"
