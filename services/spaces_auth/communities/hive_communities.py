"""Asks Hive for a community: its title, what it is about, and its team."""

from dataclasses import dataclass
from typing import Any

from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.hive import HiveClient, HiveError

LONGEST_TITLE, LONGEST_ABOUT = 200, 500  # characters
MOST_OF_TEAM = 500  # accounts
AGREEING = 2  # nodes that must say the same, where there are so many: who moderates is no one node's word
ROLES = {"owner": "owner", "admin": "moderator", "mod": "moderator"}  # of Hive's; its members and guests have none here


@dataclass(frozen=True, slots=True)
class HiveCommunity:
    """A community as Hive tells it. `team` are its roles here by account."""

    title: str
    about: str
    team: dict[str, str]


async def ask(hive: HiveClient, name: str) -> HiveCommunity | None:
    """Returns the community; None if Hive does not know it. Raises `unavailable`."""
    question = {"name": name, "observer": ""}
    try:
        return await hive.agreed("bridge.get_community", question, lambda answer: read(answer, name), AGREEING)
    except HiveError:
        return None


def read(answer: Any, name: str) -> HiveCommunity | None:
    """Reads an answer of `bridge.get_community`. Raises `unavailable` for nonsense, which is the node's fault."""
    if answer is None:
        return None
    if not isinstance(answer, dict) or answer.get("name") != name or not isinstance(answer.get("team"), list):
        raise PresenceError(UNAVAILABLE, "The Hive node's answer makes no sense.")
    title = _text(answer.get("title"))[:LONGEST_TITLE] or name
    return HiveCommunity(title, _text(answer.get("about"))[:LONGEST_ABOUT], _team(answer["team"]))


def _team(rows: list[Any]) -> dict[str, str]:
    """Reads `[[account, role, title], ...]`; what is no such row is left out."""
    team: dict[str, str] = {}
    for row in rows[:MOST_OF_TEAM]:
        if isinstance(row, list) and len(row) >= 2 and all(isinstance(part, str) for part in row[:2]):
            account, role = _text(row[0]), ROLES.get(row[1])
            if account and role:
                team[account] = role
    return team


def _text(value: Any) -> str:
    """A text that PostgreSQL takes: no NUL, no half of a surrogate pair."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode().strip() if isinstance(value, str) else ""
