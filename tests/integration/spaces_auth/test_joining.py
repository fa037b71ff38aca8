"""Admission to a space over REST, and realtime's question about a socket that wants to enter."""

import time

import pytest

from libs.common import cache
from libs.common.contracts import moderation, spaces, voice
from libs.common.contracts.auth import Empty
from libs.common.contracts.moderation import ImposeSanction
from libs.common.contracts.spaces import Admitted, Join
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.identity import Identity
from libs.common.spaces import LOBBY, SpaceKey
from libs.common.tokens import Admission, Token
from tests.integration.common.world import account, guest, proxied
from tests.integration.spaces_auth.world import World, running
from tests.support.edge import HERE
from tests.support.refusals import refusal

PHOTO = SpaceKey("post", "alice/my-360-photo")
UNSEEN = [
    SpaceKey("post", "carol/not-for-you"), SpaceKey("post", "carol/reported"), SpaceKey("document", "123"),
    SpaceKey("document", "125"), SpaceKey("post", "nobody/nothing"),
]  # fmt: skip


async def join(world: World, space: SpaceKey = PHOTO, who: str | Identity = "dave", subspace: str = "main") -> Admitted:
    return await world.call(spaces.join, Join(space.space_type, space.space_id, subspace), who)


async def admission(world: World, joined: Admitted) -> Token:
    return await world.gatekeeper().identify(joined.session_token, HERE)


async def test_an_admission_is_the_same_identity_for_one_space(world: World) -> None:
    dave = account("dave", login_id="login-1")
    joined = await join(world, PHOTO, dave, "attic")
    token = await admission(world, joined)
    epoch = await cache.read_epoch(world.redis.redis, PHOTO)
    assert token.admission == Admission(PHOTO, "attic", "visitor", epoch, "203.0.113.9")
    assert (token.identity.account, token.identity.login_id) == ("dave", "login-1")
    assert token.identity.token_id != dave.token_id
    assert (joined.success, joined.role, joined.subspace) == (True, "visitor", "attic")
    assert joined.space.display_name == "My 360 photo"
    assert joined.websocket_url == "ws://localhost:8080"
    assert joined.turn_credentials.username
    assert joined.turn_credentials.username.endswith(":dave")
    assert joined.ice_servers == joined.turn_credentials.iceServers


@pytest.mark.parametrize(
    ("who", "space", "role"),
    [("alice", PHOTO, "owner"), ("mona", PHOTO, "moderator"), ("alice", SpaceKey("document", "123"), "member"),
     ("rolf", SpaceKey("document", "123"), "member"), ("olivia", LOBBY, "operator"), ("guest", LOBBY, "guest")],
)  # fmt: skip
async def test_an_admission_says_the_role(world: World, who: str, space: SpaceKey, role: str) -> None:
    joined = await join(world, space, who)
    said = (await admission(world, joined)).admission
    assert said
    assert (joined.role, said.role) == (role, role)


async def test_a_caller_without_a_token_is_admitted_as_a_new_guest_with_one(world: World) -> None:
    one, two = [(await admission(world, await join(world, LOBBY, "anonymous"))).identity for _ in range(2)]
    assert (one.kind, one.account) == ("guest", None)
    assert one.id != two.id
    assert one.token_id
    again = await join(world, LOBBY, one)
    assert (await admission(world, again)).identity.id == one.id, "and stays that guest"
    assert again.turn_credentials.username


async def test_a_join_without_a_token_answers_with_stun_only_and_its_admission_opens_turn(world: World) -> None:
    joined = await join(world, LOBBY, "anonymous")
    assert (joined.turn_credentials.username, joined.turn_credentials.credential) == (None, None)
    token = await admission(world, joined)
    assert (await world.call(voice.turn_credentials, Empty(), token.identity)).username


async def test_a_guest_with_a_token_keeps_its_id(world: World) -> None:
    assert (await admission(world, await join(world, LOBBY, guest("0192")))).identity.id == "0192"


@pytest.mark.parametrize("space", UNSEEN, ids=str)
@pytest.mark.parametrize("who", ["dave", "guest", "anonymous"])
async def test_a_hidden_space_cannot_be_joined_and_does_not_show(world: World, space: SpaceKey, who: str) -> None:
    await world.enter(space, "x1")
    await world.owner.sql(
        "INSERT INTO presence_space_settings (space_type, space_id, max_users) VALUES (:t, :i, 1)",
        t=space.space_type, i=space.space_id,
    )  # fmt: skip
    with pytest.raises(PresenceError) as raised:
        await join(world, space, who)
    assert (raised.value.kind, raised.value.text, raised.value.details) == (NOT_FOUND, NOT_FOUND.text, {})
    (verdict,) = (await world.review_entry(space, who)).verdicts
    assert (verdict.stays, verdict.code, verdict.reason) == (False, NOT_FOUND.code, NOT_FOUND.text)


@pytest.mark.parametrize(
    ("space_type", "space_id", "outcome"),
    [
        ("post", "bob", "not_found"),
        ("global", "hall", "not_found"),
        ("nothing", "x", "invalid_input"),
        ("post", "../etc", "invalid_input"),
    ],
)
async def test_a_name_that_is_no_space_is_refused(world: World, space_type: str, space_id: str, outcome: str) -> None:
    assert await refusal(join(world, SpaceKey(space_type, space_id))) == outcome


async def test_a_full_space_takes_moderators_only(world: World) -> None:
    await world.owner.sql(
        "INSERT INTO presence_space_settings (space_type, space_id, max_users) VALUES ('post', 'alice/my-360-photo', 2)"
    )
    await world.enter(PHOTO, "carol")
    joined = await join(world)
    assert (joined.capacity.used, joined.capacity.total, joined.capacity.available) == (1, 2, 1)
    await world.enter(PHOTO, "carol", "bob")
    with pytest.raises(PresenceError) as raised:
        await join(world)
    assert (raised.value.kind.code, raised.value.details) == ("space_full", {"capacity": {"used": 2, "total": 2}})
    assert raised.value.kind.status == 429
    for who in ("mona", "alice", "olivia"):
        joined = await join(world, PHOTO, who)
        assert (joined.capacity.used, joined.capacity.available) == (2, 0)


async def test_a_banned_account_is_told_so_and_guests_where_they_are_not_wanted(world: World) -> None:
    await world.owner.sql(
        """INSERT INTO space_sanctions (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by)
           VALUES (gen_random_uuid(), 'post', 'alice/my-360-photo', 'ban', 'account', 'dave', 'why', 'alice')"""
    )
    await world.owner.sql(
        "INSERT INTO presence_space_settings (space_type, space_id, guests_allowed) VALUES ('event', 'party', false)"
    )
    party = SpaceKey("event", "party")
    for space, who, code in (
        (PHOTO, "dave", "banned"),
        (party, "guest", "forbidden"),
        (party, "anonymous", "forbidden"),
        (party, "dave", "ok"),
    ):
        assert (await refusal(join(world, space, who)), await world.entry_code(space, who)) == (code, code)


async def test_an_admission_carries_the_epoch_of_the_moment(world: World) -> None:
    raised = await cache.raise_epoch(world.redis.redis, PHOTO)
    said = (await admission(world, await join(world))).admission
    assert said
    assert said.epoch == raised
    assert (await world.review_entry(PHOTO, "dave")).epoch == raised
    assert await cache.raise_epoch(world.redis.redis, PHOTO) == raised + 1


@pytest.mark.parametrize(
    "space",
    [
        SpaceKey("post", "nobody/nothing"), SpaceKey("document", "404"), SpaceKey("event", "nobodys"),
        SpaceKey("community", "hive-404"),
    ],
)  # fmt: skip
async def test_asking_for_what_does_not_exist_makes_nothing_in_redis(world: World, space: SpaceKey) -> None:
    assert await refusal(join(world, space)) == "not_found"
    assert await world.entry_code(space, "dave") == "not_found"
    assert [key async for key in world.redis.redis.scan_iter(f"*{space}*")] == []


async def test_what_a_visit_makes_in_redis_ends(world: World) -> None:
    await join(world, SpaceKey("event", "made-up"))
    keys = [key async for key in world.redis.redis.scan_iter("*event:made-up*")]
    assert keys
    for key in keys:
        assert 0 < await world.redis.redis.ttl(key) <= cache.EPOCH_SECONDS


async def test_who_was_let_in_before_a_ban_does_not_bring_the_epoch_of_that_moment_back(world: World) -> None:
    redis = world.redis.redis
    read = await cache.read_epoch(redis, PHOTO)
    raised = await cache.raise_epoch(redis, PHOTO)
    await cache.keep_epoch(redis, PHOTO, read)
    assert await cache.read_epoch(redis, PHOTO) == raised > read


async def test_an_epoch_that_redis_lost_is_one_that_no_admission_has(world: World) -> None:
    before = (await world.review_entry(PHOTO, "dave")).epoch
    await cache.raise_epoch(world.redis.redis, PHOTO)
    await world.redis.redis.flushdb()
    assert (await world.review_entry(PHOTO, "dave")).epoch > before


async def test_an_epoch_that_ended_lets_no_older_admission_in_again(world: World) -> None:
    """dave is let in, banned, and the epoch that the ban raised has its end, as in a space where nobody is."""
    before = (await admission(world, await join(world, who="dave"))).admission
    assert before
    imposed = ImposeSanction(PHOTO.space_type, PHOTO.space_id, "rude", account="dave")
    await world.call(moderation.ban, imposed, "alice")
    raised = await cache.read_epoch(world.redis.redis, PHOTO)
    for key in (cache.epoch(PHOTO), cache.epoch_seq(PHOTO)):
        assert await world.redis.redis.expire(key, 0)
    answer = await world.review_entry(PHOTO, "dave")
    assert answer.epoch > raised > before.epoch, "whoever shows the admission is asked about again"
    assert [verdict.code for verdict in answer.verdicts] == ["banned"]
    await world.review_entry(PHOTO, "alice")
    assert await cache.read_epoch(world.redis.redis, PHOTO) > raised, "and what is kept then is a new one too"


async def test_a_review_gives_realtime_role_capacity_and_settings(world: World) -> None:
    await world.owner.sql(
        "INSERT INTO presence_space_settings (space_type, space_id, max_users, voice_enabled)"
        " VALUES ('post', 'alice/my-360-photo', 12, false)"
    )
    answer = await world.review_entry(PHOTO, "alice")
    assert [verdict.role for verdict in answer.verdicts] == ["owner"]
    assert (answer.max_users, answer.settings["voice_enabled"]) == (12, False)


async def test_joining_is_unavailable_while_redis_is_away(database_url: str, redis_url: str, hive_url: str) -> None:
    async with proxied(redis_url) as proxy, running(database_url, proxy.url, hive_url) as world:
        await proxy.close()
        assert await refusal(join(world, LOBBY)) == "unavailable"
        assert await refusal(world.review_entry(LOBBY, "dave")) == "unavailable"


async def test_https_gives_a_secure_websocket(database_url: str, redis_url: str, hive_url: str) -> None:
    async with running(database_url, redis_url, hive_url, public_url="https://vr.example") as world:
        assert (await join(world, LOBBY)).websocket_url == "wss://vr.example"


async def test_an_admission_of_two_hours_is_an_admission_of_two_hours(world: World) -> None:
    before = int(time.time())
    token = await admission(world, await join(world, LOBBY))
    assert before + 7200 <= token.expires_at <= int(time.time()) + 7200
