"""One spaces_auth on a real database, Redis and Hive node, asked over the memory bus."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from deploy.local.keys import private_key, sign
from libs.common import cache
from libs.common.bus.base import Caller
from libs.common.clock import now, rfc3339
from libs.common.contracts import auth, spaces
from libs.common.contracts.auth import Challenge, ChallengeRequest, Empty, Login, Tokens
from libs.common.contracts.members import Member, encode_member
from libs.common.contracts.presence import Position
from libs.common.contracts.registry import Operation
from libs.common.contracts.spaces import Review, Reviewed, ReviewedMember
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.edge.limits import RateLimits
from libs.common.identity import Identity, service_identity
from libs.common.service import Service
from libs.common.settings import EdgeSettings
from libs.common.spaces import SpaceKey
from services.spaces_auth.app import build
from services.spaces_auth.settings import Settings
from tests.integration.common.world import Owner, RecordingBus, caller, identity
from tests.support.edge import HERE
from tests.support.settings import defaults
from tests.support.waiting import eventually

CONTENT = """
INSERT INTO posts (author, permlink, type, row_hash, title, description, votes, rating, created_at, hidden, flagged)
  VALUES
  ('alice', 'my-360-photo', '360', 'x', 'My 360 photo', 'A beach', 50, 4.5, '2024-01-05Z', false, false),
  ('bob', 'sculpture-hall', 'art', 'x', 'Sculpture 100%', 'Cold_marble', 70, 3, '2024-01-04Z', false, false),
  ('bob', 'untitled', 'art', 'x', null, null, 70, 0, null, false, false),
  ('carol', 'not-for-you', '360', 'x', 'Secret garden', 'hidden', 99, 5, '2024-01-09Z', true, false),
  ('carol', 'reported', '360', 'x', 'Reported garden', 'flagged', 98, 5, '2024-01-08Z', false, true);
INSERT INTO collaboration_documents (space_id, title, creator, is_public, is_deleted, row_hash, created_at) VALUES
  ('123', 'Private plans', 'bob', false, false, 'x', '2024-01-03Z'),
  ('124', 'Public notes', 'bob', true, false, 'x', '2024-01-02Z'),
  ('125', 'Deleted notes', 'bob', true, true, 'x', '2024-01-01Z');
INSERT INTO collaboration_permissions (space_id, account, permission, row_hash) VALUES
  ('123', 'alice', 'comment', 'x'), ('125', 'alice', 'edit', 'x');
INSERT INTO presence_permissions (space_type, space_id, account, permission, row_hash) VALUES
  ('post', 'alice/my-360-photo', 'mona', 'moderate', 'x'), ('post', 'carol/not-for-you', 'mona', 'moderate', 'x');
INSERT INTO space_roles (space_type, space_id, account, role, given_by) VALUES
  ('document', '123', 'rolf', 'member', 'bob');
"""
OPERATORS = ("olivia",)


@dataclass
class World:
    """`bus` is another service's side of the bus."""

    settings: Settings
    bus: RecordingBus
    redis: cache.RedisClient
    owner: Owner
    service: Service

    def part[Part](self, kind: type[Part]) -> Part:
        """Returns the service's component of that class, to make it do now what it does by time."""
        return next(each for each in self.service._components if isinstance(each, kind))

    async def call[Request, Reply](
        self, operation: Operation[Request, Reply], request: Request, who: str | Identity | Caller = "alice"
    ) -> Reply:
        return await self.bus.call(operation, request, who if isinstance(who, Caller) else caller(who))

    async def challenge(self, account: str = "alice") -> Challenge:
        return await self.call(auth.challenge, ChallengeRequest(account), "anonymous")

    async def login(self, account: str = "alice") -> Tokens:
        text = (await self.challenge(account)).challenge
        request = Login(account, text, sign(text, private_key(account)))
        return await self.call(auth.login, request, "anonymous")

    def gatekeeper(self) -> Gatekeeper:
        """A new edge's; it knows no keys yet."""
        settings = defaults(EdgeSettings, operators=OPERATORS)
        limits = RateLimits(self.settings.redis_url, settings.rate_limit_factor)
        return Gatekeeper(self.bus, self.redis, limits, settings, "gateway")

    async def logout(self, token: str) -> None:
        identity = (await self.gatekeeper().identify(token, HERE)).identity
        await self.call(auth.logout, Empty(), identity)

    async def review_entry(self, space: SpaceKey, who: str | Identity, address: str = "203.0.113.9") -> Reviewed:
        """Asks `spaces.review` about one socket of `who` that wants to enter, as realtime does."""
        person = identity(who) if isinstance(who, str) else who
        socket = ReviewedMember(f"socket-of-{person.id}", person.kind, person.id, person.operator, address)
        request = Review(space.space_type, space.space_id, [socket])
        return await self.call(spaces.review, request, service_identity("realtime"))

    async def entry_code(self, space: SpaceKey, who: str | Identity, address: str = "203.0.113.9") -> str:
        """Returns `ok`, or the code with which a socket of `who` is kept out."""
        (verdict,) = (await self.review_entry(space, who, address)).verdicts
        return "ok" if verdict.stays else str(verdict.code)

    async def enter(self, space: SpaceKey, *names: str, subspace: str = "main") -> None:
        """As realtime does: sockets of accounts, or of guests whose names begin with a capital."""
        for name in names:
            guest = name[0].isupper()
            member = Member(
                socket_id=f"socket-of-{name}",
                stay_id=f"stay-of-{name}",
                replica="r1",
                subspace=subspace,
                user_account=None if guest else name,
                guest_id=guest_id_of(name) if guest else None,
                guest=guest,
                display_name=name,
                position=Position(),
                avatar_data=None,
                joined_at=rfc3339(now()),
            )
            await self.redis.redis.hset(cache.members(space), member.socket_id, encode_member(member))
        await self.redis.redis.zadd(cache.ACTIVE, {str(space): len(names)})


def guest_id_of(name: str) -> str:
    return str(uuid5(NAMESPACE_DNS, name))


@contextlib.asynccontextmanager
async def running(database_url: str, redis_url: str, hive_url: str, **changes: Any) -> AsyncIterator[World]:
    settings = defaults(
        Settings,
        database_url=database_url, redis_url=redis_url, hive_nodes=(hive_url,), operators=OPERATORS,
        turn_secret="turn-secret", **changes,
    )  # fmt: skip
    bus, redis, owner = RecordingBus(), cache.RedisClient(redis_url), Owner(database_url)
    service = build(settings, bus)
    await service.start()
    try:
        yield World(settings, bus, redis, owner, service)
    finally:
        await service.stop()
        await redis.stop()
        await owner.database.stop()


async def fill(world: World) -> None:
    for statement in filter(str.strip, CONTENT.split(";")):
        await world.owner.sql(statement)


async def emptied(world: World) -> None:
    """Forget what a test did, once all of it has become activity."""

    async def is_quiet() -> bool:
        (counts,) = await world.owner.sql(
            "SELECT (SELECT count(*) FROM event_log) AS events, (SELECT count(*) FROM space_activity) AS activities"
        )
        return bool(counts.events == counts.activities)

    await eventually(is_quiet)
    await world.owner.sql("DELETE FROM space_roles WHERE account <> 'rolf'")
    for table in (
        "space_removals", "moderation_audit", "refresh_tokens",
        "presence_sessions", "presence_space_settings", "space_sanctions", "space_activity",
        "event_log", "space_counters",
        "space_days", "space_people", "space_moves", "move_people", "visitor_places", "webrtc_days",
    ):  # fmt: skip
        await world.owner.sql(f"DELETE FROM {table}")
    await world.redis.redis.flushdb()
    world.bus.published.clear()
