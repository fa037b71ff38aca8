"""Settings, roles, bans, mutes, kicks: who may, what follows, and what is kept of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from libs.common import access, cache
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import moderation, spaces
from libs.common.contracts.moderation import (
    GetRole,
    ImposeSanction,
    Kick,
    LiftSanction,
    ListAudit,
    ListRoles,
    ListSanctions,
    RemoveRole,
    SetRole,
    UpdateSettings,
)
from libs.common.contracts.registry import Operation
from libs.common.contracts.spaces import (
    GetSpace,
    Join,
    LeaveSpace,
    ListSubrooms,
    Review,
    Reviewed,
    ReviewedMember,
    Verdict,
)
from libs.common.errors import PresenceError
from libs.common.identity import Identity, guest_identity
from libs.common.ids import new_id
from libs.common.spaces import LOBBY, SpaceKey
from tests.integration.common.world import account, identity, proxied
from tests.integration.spaces_auth.world import World, guest_id_of, running
from tests.support.refusals import refusal
from tests.support.waiting import eventually

PHOTO = SpaceKey("post", "alice/my-360-photo")  # alice's; mona moderates it
PLANS = SpaceKey("document", "123")  # bob's; alice may comment, rolf is a member
WHERE: dict[str, Any] = {"space_type": PHOTO.space_type, "space_id": PHOTO.space_id}
FAR, NEAR = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
async def _moderators(world: World) -> None:
    await world.owner.sql(
        "INSERT INTO space_roles (space_type, space_id, account, role, given_by)"
        " VALUES ('post', 'alice/my-360-photo', 'mark', 'moderator', 'alice')"
    )


def sanctioning(**fields: Any) -> ImposeSanction:
    return ImposeSanction(**{**WHERE, "reason": "rude", **fields})


async def enter(world: World, who: str, address: str = NEAR, space: SpaceKey = PHOTO) -> str:
    return await world.entry_code(space, who, address)


def member(who: Identity, after_seq: int | None = 0, address: str = NEAR) -> ReviewedMember:
    return ReviewedMember(f"socket-of-{who.id}", who.kind, who.id, who.operator, address, after_seq)


async def review(world: World, *members: ReviewedMember, space: SpaceKey = PHOTO) -> Reviewed:
    return await world.call(spaces.review, Review(space.space_type, space.space_id, list(members)))


async def verdicts(world: World, *members: ReviewedMember, space: SpaceKey = PHOTO) -> list[Verdict]:
    return (await review(world, *members, space=space)).verdicts


# Bans.


async def test_a_banned_account_cannot_come_in_and_has_to_leave(world: World) -> None:
    before = await review(world, member(account("dave")), member(account("carol")))
    assert [verdict.stays for verdict in before.verdicts] == [True, True]
    made = await world.call(moderation.ban, sanctioning(account="dave"), "mona")
    assert (made.kind, made.subject_kind, made.subject, made.imposed_by) == ("ban", "account", "dave", "mona")
    assert await enter(world, "dave") == "banned"
    assert await enter(world, "carol") == "ok"
    after = await review(world, member(account("dave")), member(account("carol")))
    assert after.epoch > before.epoch
    dave, carol = after.verdicts
    assert (dave.stays, dave.code, dave.reason) == (False, "banned", "rude")
    assert carol == Verdict("socket-of-carol", True, "visitor")


async def test_a_ban_ends_when_it_is_lifted_or_its_time_has_come(world: World) -> None:
    soon = now() + timedelta(seconds=1)
    await world.call(moderation.ban, sanctioning(account="dave", until=soon), "mona")
    assert await enter(world, "dave") == "banned"
    await eventually(lambda: _is(enter(world, "dave"), "ok"))
    await world.call(moderation.ban, sanctioning(account="dave"), "mona")
    assert await enter(world, "dave") == "banned"
    lifting = LiftSanction(**WHERE, reason="apologised", account="dave")
    await world.call(moderation.unban, lifting, "mark")
    assert await enter(world, "dave") == "ok"
    assert await refusal(world.call(moderation.unban, lifting, "mark")) == "not_found"


async def test_a_banned_account_reads_neither_the_space_nor_its_subrooms(world: World) -> None:
    await world.enter(PHOTO, "carol")
    await world.call(moderation.ban, sanctioning(account="dave"), "mona")
    for question in (GetSpace(PHOTO.space_type, PHOTO.space_id), ListSubrooms(PHOTO.space_type, PHOTO.space_id)):
        operation = spaces.get_space if isinstance(question, GetSpace) else spaces.list_subrooms
        assert await refusal(world.call(operation, question, "dave")) == "banned"
        assert await refusal(world.call(operation, question, "carol")) == "ok"


async def test_a_guest_who_may_not_enter_sees_the_space_but_nobody_in_it(world: World) -> None:
    await world.enter(PHOTO, "carol")
    question = GetSpace(PHOTO.space_type, PHOTO.space_id)
    before = await world.call(spaces.get_space, question, guest_identity(guest_id_of("Gus")))
    await world.call(moderation.update_settings, UpdateSettings(**WHERE, guests_allowed=False), "mona")
    after = await world.call(spaces.get_space, question, guest_identity(guest_id_of("Gus")))
    assert [user.user_account for user in before.connected_users] == ["carol"]
    assert (after.connected_users, after.active_users) == ([], 1)


async def _is(asking: Awaitable[str], wanted: str) -> bool:
    return await asking == wanted


async def test_a_second_ban_takes_the_place_of_the_first(world: World) -> None:
    await world.call(moderation.ban, sanctioning(account="dave", until=now() + timedelta(hours=1)), "mona")
    await world.call(moderation.ban, sanctioning(account="dave", reason="ruder"), "mark")
    (ban,) = (await world.call(moderation.list_bans, ListSanctions(**WHERE), "alice")).bans
    assert (ban.reason, ban.until, ban.imposed_by) == ("ruder", None, "mark")


async def test_only_one_of_bans_at_once_is_in_force(world: World) -> None:
    bans = [world.call(moderation.ban, sanctioning(account="dave", reason=f"{n}"), "mona") for n in range(8)]
    made = {ban.id for ban in await asyncio.gather(*bans)}
    (ban,) = (await world.call(moderation.list_bans, ListSanctions(**WHERE), "alice")).bans
    assert ban.id in made


async def test_the_person_behind_a_socket_is_banned(world: World) -> None:
    await world.enter(PHOTO, "dave", "Gus")
    made = await world.call(moderation.ban, sanctioning(socket_id="socket-of-Gus"), "mona")
    assert (made.subject_kind, made.subject) == ("guest", guest_id_of("Gus"))
    gus = Identity("guest", guest_id_of("Gus"), "Gus", token_id="t")
    assert [verdict.code for verdict in await verdicts(world, member(gus))] == ["banned"]
    assert (await world.call(moderation.ban, sanctioning(socket_id="socket-of-dave"), "mona")).subject == "dave"
    assert await refusal(world.call(moderation.ban, sanctioning(socket_id="nobodys"), "mona")) == "not_found"


async def test_an_address_is_banned_for_everyone_below_who_says_so(world: World) -> None:
    made = await world.call(moderation.ban, sanctioning(address=FAR), "mona")
    assert (made.subject_kind, made.subject) == ("address", None), "an address is the operators' business"
    for who in ("dave", "guest", "anonymous"):
        assert (await enter(world, who, FAR), await enter(world, who)) == ("banned", "ok")
    for who in ("mona", "mark", "alice", "olivia"):
        assert await enter(world, who, FAR) == "ok", "a moderator's address hits neither moderators nor the owner"
    await world.call(moderation.ban, sanctioning(address=FAR), "olivia")
    assert [await enter(world, who, FAR) for who in ("alice", "mona", "olivia")] == ["banned", "banned", "ok"]
    there, elsewhere = await verdicts(world, member(account("dave"), address=FAR), member(account("carol")))
    assert (there.stays, there.code, elsewhere.stays) == (False, "banned", True)
    listing = ListSanctions(**WHERE)
    assert (await world.call(moderation.list_bans, listing, "alice")).bans[0].subject is None
    assert (await world.call(moderation.list_bans, listing, "olivia")).bans[0].subject == f"{FAR}/32"
    lifting = LiftSanction(
        **WHERE, reason="enough", id=(await world.call(moderation.list_bans, listing, "alice")).bans[0].id
    )
    await world.call(moderation.unban, lifting, "alice")
    assert await enter(world, "dave", FAR) == "ok"


async def test_a_ban_with_address_hits_the_address_the_person_came_from(world: World) -> None:
    assert await enter(world, "dave", "2001:db8:5:6::77") == "ok"
    await world.call(moderation.ban, sanctioning(account="dave", with_address=True), "mona")
    assert await enter(world, "guest", "2001:db8:5:6:ffff::1") == "banned"
    assert await enter(world, "guest", "2001:db8:5:7::1") == "ok"
    told = [event.payload for event in world.bus.published]
    assert "2001" not in str(told)


def some_guest(name: str, *, token: bool = True) -> Identity:
    return Identity("guest", guest_id_of(name), f"Guest-{name}", token_id=f"token-of-{name}" if token else None)


LOUD, NEXT = some_guest("loud"), some_guest("next")


async def joins(world: World, who: Identity, address: str = NEAR) -> str:
    return await refusal(world.bus.call(spaces.join, Join(**WHERE), Caller(who, "request", address)))


@pytest.mark.parametrize("token", [True, False], ids=["with another token", "without a token"])
async def test_a_guests_ban_holds_for_other_guests_of_its_address_until_it_is_lifted(world: World, token: bool) -> None:
    """A guest's id costs nothing: the next one is a request away."""
    again = some_guest("again", token=token)
    assert await joins(world, LOUD) == "ok"
    await world.call(moderation.ban, sanctioning(guest_id=LOUD.id), "mona")
    assert [await joins(world, who) for who in (LOUD, again)] == ["banned", "banned"]
    assert await joins(world, again, FAR) == "ok"
    assert await joins(world, LOUD, FAR) == "banned"
    assert await joins(world, identity("dave")) == "ok"
    await world.call(moderation.unban, LiftSanction(**WHERE, reason="enough", guest_id=LOUD.id), "mona")
    assert [await joins(world, who) for who in (LOUD, again)] == ["ok", "ok"]


async def test_a_guests_ban_puts_other_guests_of_its_address_out_and_nobody_else(world: World) -> None:
    await joins(world, LOUD)
    inside = [member(LOUD), member(NEXT), member(NEXT, address=FAR), member(identity("dave"))]
    epoch = (await review(world, *inside)).epoch
    await world.call(moderation.ban, sanctioning(guest_id=LOUD.id), "mona")
    found = await review(world, *inside)
    assert found.epoch > epoch
    assert [verdict.stays for verdict in found.verdicts] == [False, False, True, True]
    assert [verdict.code for verdict in found.verdicts[:2]] == ["banned", "banned"]
    assert found.verdicts[1].reason != "rude", "why another was banned is no business of theirs"


async def test_a_guests_mute_holds_for_other_guests_of_its_address(world: World) -> None:
    async def muted(who: Identity, address: str = NEAR) -> bool:
        async with world.owner.database.read() as connection:
            return (await access.look(connection, who, PHOTO, (), address)).muted

    await joins(world, LOUD)
    await world.call(moderation.mute, sanctioning(guest_id=LOUD.id), "mona")
    assert [await muted(who) for who in (LOUD, NEXT, identity("dave"))] == [True, True, False]
    assert [await muted(who, FAR) for who in (LOUD, NEXT)] == [True, False]
    await world.call(moderation.unmute, LiftSanction(**WHERE, reason="enough", guest_id=LOUD.id), "mona")
    assert not await muted(NEXT)


async def test_the_address_of_a_guest_who_is_banned_is_shown_to_nobody(world: World) -> None:
    await joins(world, LOUD)
    made = await world.call(moderation.ban, sanctioning(guest_id=LOUD.id), "mona")
    shown: list[Any] = [made]
    for who in ("mona", "alice", "olivia"):
        shown += (await world.call(moderation.list_bans, ListSanctions(**WHERE), who)).bans
        shown += (await world.call(moderation.list_audit, ListAudit(**WHERE), who)).entries
    shown += [event.payload for event in world.bus.published]
    assert len(shown) > 6
    assert NEAR not in str(shown)


async def test_an_address_is_bound_by_a_guests_ban_for_a_week_and_the_guest_for_good(world: World) -> None:
    await joins(world, LOUD)
    await world.call(moderation.ban, sanctioning(guest_id=LOUD.id), "mona")
    for days, outcome in ((6.9, "banned"), (7.1, "ok")):
        await world.owner.sql(
            "UPDATE space_sanctions SET created_at = now() - make_interval(secs => :ago)", ago=days * 86_400
        )
        assert [await joins(world, who) for who in (LOUD, NEXT)] == ["banned", outcome]


async def test_the_end_of_a_mute_is_known_for_who_shares_the_address_of_a_guest(world: World) -> None:
    async def ends(who: Identity) -> float | None:
        async with world.owner.database.read() as connection:
            return (await access.look(connection, who, PHOTO, (), NEAR)).mute_ends

    await joins(world, LOUD)
    await world.call(moderation.mute, sanctioning(guest_id=LOUD.id), "mona")
    assert await ends(LOUD) is None
    week = now().timestamp() + access.GUEST_ADDRESS_DAYS * 86_400
    assert abs((await ends(NEXT) or 0) - week) < 60


@pytest.mark.parametrize("act", [moderation.ban, moderation.mute, moderation.kick])
@pytest.mark.parametrize("range_", ["0.0.0.0/0", "10.0.0.0/16", "198.51.100.0/24", "198.51.100.6/31", "2001:db8::/63"])
async def test_a_range_is_for_operators_only_or_an_owner_would_find_an_address_by_halving(
    world: World, act: Operation[Any, Any], range_: str
) -> None:
    asked = Kick if act is moderation.kick else ImposeSanction
    request = asked(**WHERE, reason="rude", address=range_)
    assert await refusal(world.call(act, request, "alice")) == "forbidden"
    assert await refusal(world.call(act, request, "olivia")) == "ok"


@pytest.mark.parametrize("address", ["198.51.100.7", "198.51.100.7/32", "2001:db8::7", "2001:db8::/64"])
async def test_one_address_is_banned_by_an_owner(world: World, address: str) -> None:
    assert await refusal(world.call(moderation.ban, sanctioning(address=address), "alice")) == "ok"


async def test_lifting_a_ban_with_address_lifts_the_address_too(world: World) -> None:
    for act, undo in ((moderation.ban, moderation.unban), (moderation.mute, moderation.unmute)):
        assert await enter(world, "dave", "2001:db8:5:6::77") == "ok"
        await world.call(act, sanctioning(account="dave", with_address=True), "mona")
        await world.call(undo, LiftSanction(**WHERE, reason="made up", account="dave"), "mona")
        assert await enter(world, "dave", "2001:db8:5:6::77") == "ok"
        assert await enter(world, "guest", "2001:db8:5:6:ffff::1") == "ok"
        kind = "ban" if act is moderation.ban else "mute"
        listed = await world.call(moderation.list_bans, ListSanctions(**WHERE, kind=kind), "olivia")
        assert listed.bans == []


async def test_lifting_a_ban_leaves_an_address_that_was_banned_for_itself(world: World) -> None:
    await enter(world, "dave", "2001:db8:5:6::77")
    await world.call(moderation.ban, sanctioning(account="dave"), "mona")
    await world.call(moderation.ban, sanctioning(address="2001:db8:5:6::1"), "mona")
    await world.call(moderation.unban, LiftSanction(**WHERE, reason="made up", account="dave"), "mona")
    assert await enter(world, "dave", "2001:db8:5:6::77") == "banned"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"account": "dave", "address": NEAR},
        {"address": "here"},
        {"address": "1.2.3"},
    ],
)
async def test_a_ban_says_whom(world: World, fields: dict[str, Any]) -> None:
    assert await refusal(world.call(moderation.ban, sanctioning(**fields), "mona")) == "invalid_input"


async def test_a_ban_that_would_be_over_already_is_a_conflict(world: World) -> None:
    over = sanctioning(account="dave", until=now() - timedelta(seconds=1))
    assert await refusal(world.call(moderation.ban, over, "mona")) == "conflict"


@pytest.mark.parametrize("operation", [moderation.ban, moderation.mute, moderation.kick])
@pytest.mark.parametrize(
    ("who", "whom", "outcome"),
    [
        ("mona", "dave", "ok"), ("mona", "mark", "forbidden"), ("mona", "mona", "forbidden"),
        ("mona", "alice", "forbidden"), ("mona", "olivia", "forbidden"), ("alice", "mona", "ok"),
        ("alice", "alice", "forbidden"), ("alice", "olivia", "forbidden"), ("olivia", "alice", "ok"),
        ("dave", "carol", "forbidden"), ("guest", "carol", "forbidden"),
    ],
)  # fmt: skip
async def test_nobody_touches_their_own_rank_or_a_higher_one(
    world: World, operation: Any, who: str, whom: str, outcome: str
) -> None:
    kind = Kick if operation is moderation.kick else ImposeSanction
    request = kind(**WHERE, reason="why", account=whom)
    assert await refusal(world.call(operation, request, who)) == outcome


async def test_a_hidden_space_cannot_be_moderated_and_does_not_show(world: World) -> None:
    for where in (PLANS, SpaceKey("document", "999")):
        request = ImposeSanction(where.space_type, where.space_id, "why", account="alice")
        assert await refusal(world.call(moderation.ban, request, "dave")) == "not_found"


# Mutes and kicks.


async def test_the_muted_stay(world: World) -> None:
    await world.call(moderation.mute, sanctioning(account="dave"), "mona")
    assert await enter(world, "dave") == "ok"
    (dave,) = await verdicts(world, member(account("dave")))
    assert dave.stays
    (muted,) = (await world.call(moderation.list_bans, ListSanctions(**WHERE, kind="mute"), "mona")).bans
    assert (muted.kind, muted.subject) == ("mute", "dave")
    assert (await world.call(moderation.list_bans, ListSanctions(**WHERE), "mona")).bans == []
    await world.call(moderation.unmute, LiftSanction(**WHERE, reason="enough", id=muted.id), "mona")
    assert (await world.call(moderation.list_bans, ListSanctions(**WHERE, kind="mute"), "mona")).bans == []


async def test_the_kicked_leave_and_may_come_back(world: World) -> None:
    await world.call(moderation.kick, Kick(**WHERE, reason="loud", account="dave"), "mona")
    seq = await _last_seq(world)
    assert await enter(world, "dave") == "ok"
    dave = account("dave")
    before, since, entering = await verdicts(
        world, member(dave, seq - 1), member(dave, seq), member(dave, after_seq=None)
    )
    assert (before.stays, before.code, before.reason) == (False, "kicked", "loud")
    assert (since.stays, entering.stays) == (True, True)


async def test_everyone_from_an_address_is_kicked_but_those_above(world: World) -> None:
    await world.call(moderation.kick, Kick(**WHERE, reason="raid", address=FAR), "mona")
    people = [account("dave"), account("alice"), Identity("guest", "0192", "G")]
    found = await verdicts(world, *(member(who, 0, FAR) for who in people), member(account("carol"), 0, NEAR))
    assert [verdict.stays for verdict in found] == [False, True, False, True]


async def _last_seq(world: World) -> int:
    (row,) = await world.owner.sql("SELECT max(seq) AS seq FROM event_log WHERE space_id = 'alice/my-360-photo'")
    return int(row.seq)


# What changes who may be there.


async def test_guests_off_shuts_guests_out(world: World) -> None:
    told = await world.call(moderation.update_settings, UpdateSettings(**WHERE, guests_allowed=False), "mona")
    assert (told.guests_allowed, told.chat_enabled) == (False, True)
    assert (await enter(world, "guest"), await enter(world, "dave")) == ("forbidden", "ok")
    guest, dave = await verdicts(world, member(identity("guest")), member(account("dave")))
    assert (guest.stays, guest.code, dave.stays) == (False, "forbidden", True)


async def test_a_member_whose_role_is_taken_away_has_to_leave(world: World) -> None:
    where: dict[str, Any] = {"space_type": PLANS.space_type, "space_id": PLANS.space_id}
    await world.call(moderation.set_role, SetRole(**where, account="carol", role="member"), "bob")
    assert await enter(world, "carol", space=PLANS) == "ok"
    (carol,) = await verdicts(world, member(account("carol")), space=PLANS)
    assert (carol.stays, carol.role) == (True, "member")
    left = await world.call(moderation.remove_role, RemoveRole(**where, account="carol"), "bob")
    assert (left.role, left.given) == ("visitor", None)
    (carol,) = await verdicts(world, member(account("carol")), space=PLANS)
    assert (carol.stays, carol.code) == (False, "not_found")


async def test_a_permission_gone_at_the_primary_is_seen_by_the_same_question(world: World) -> None:
    assert (await verdicts(world, member(account("alice")), space=PLANS))[0].stays
    await world.owner.sql("DELETE FROM collaboration_permissions WHERE space_id = '123'")
    try:
        (alice,) = await verdicts(world, member(account("alice")), space=PLANS)
        assert (alice.stays, alice.code) == (False, "not_found")
    finally:
        await world.owner.sql(
            "INSERT INTO collaboration_permissions (space_id, account, permission, row_hash)"
            " VALUES ('123', 'alice', 'comment', 'x')"
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.call(moderation.ban, sanctioning(account="dave"), "mona"),
        lambda w: w.call(moderation.mute, sanctioning(account="dave"), "mona"),
        lambda w: w.call(moderation.kick, Kick(**WHERE, reason="x", account="dave"), "mona"),
        lambda w: w.call(moderation.update_settings, UpdateSettings(**WHERE, guests_allowed=False), "mona"),
        lambda w: w.call(moderation.set_role, SetRole(**WHERE, account="dave", role="member"), "alice"),
    ],
    ids=["ban", "mute", "kick", "settings", "role"],
)
async def test_each_change_raises_the_epoch_once(world: World, change: Callable[[World], Awaitable[Any]]) -> None:
    before = await cache.raise_epoch(world.redis.redis, PHOTO)
    await change(world)
    await _all_consumed(world)
    assert await cache.read_epoch(world.redis.redis, PHOTO) == before + 1


async def _all_consumed(world: World) -> None:
    async def consumed() -> bool:
        (row,) = await world.owner.sql(
            "SELECT (SELECT count(*) FROM event_log) = (SELECT count(*) FROM space_activity) AS all"
        )
        return bool(row.all)

    await eventually(consumed)


async def test_an_epoch_that_was_not_raised_after_the_commit_is_raised_by_the_event(
    database_url: str, redis_url: str, hive_url: str
) -> None:
    async with proxied(redis_url) as proxy, running(database_url, proxy.url, hive_url) as world:
        request = UpdateSettings("global", "lobby", slow_mode_seconds=5)
        before = await cache.read_epoch(world.redis.redis, LOBBY)
        await proxy.close()
        assert (await world.call(moderation.update_settings, request, "olivia")).slow_mode_seconds == 5
        await proxy.open()
        await eventually(lambda: _raised(world, before))


async def _raised(world: World, before: int) -> bool:
    try:
        return await cache.read_epoch(world.redis.redis, LOBBY) > before
    except (PresenceError, OSError):
        return False


async def test_leaving_by_rest_takes_out_ones_own_sockets(world: World) -> None:
    await world.enter(PHOTO, "dave", "carol")
    request = LeaveSpace(**WHERE)
    assert (await world.call(spaces.leave, request, "anonymous")).ended == 0
    assert (await world.call(spaces.leave, request, "bob")).ended == 0
    assert (await world.call(spaces.leave, request, "dave")).ended == 1
    dave, carol = await verdicts(world, member(account("dave")), member(account("carol")))
    assert (dave.stays, dave.code, carol.stays) == (False, "left", True)
    assert await enter(world, "dave") == "ok"


# Settings.


async def test_settings_are_merged_told_and_kept(world: World) -> None:
    change = UpdateSettings(
        **WHERE,
        max_users=30,
        audio={"mode": "spatial", "radius": 12},
        settings={"sky": "blue", "fog": 1},
        reason="event",
    )
    await world.call(moderation.update_settings, change, "alice")
    second = UpdateSettings(**WHERE, voice_enabled=False, settings={"fog": None, "sun": True})
    told = await world.call(moderation.update_settings, second, "mona")
    assert (told.max_users, told.voice_enabled, told.audio) == (30, False, {"mode": "spatial", "radius": 12})
    assert told.settings == {"sky": "blue", "sun": True}
    await _all_consumed(world)
    events = [event for event in world.bus.published if event.name == moderation.settings_changed.name]
    assert [event.payload["updated_by"] for event in events] == ["alice", "mona"]
    assert events[1].payload["settings"]["settings"] == {"sky": "blue", "sun": True}
    assert {event.subspace for event in events} == {None}
    joined = await world.call(spaces.join, spaces.Join(**WHERE), "dave")
    assert joined.capacity.total == 30
    await world.call(moderation.update_settings, second, "mona")
    await _all_consumed(world)
    assert len([e for e in world.bus.published if e.name == moderation.settings_changed.name]) == 2, "nothing changed"


@pytest.mark.parametrize(
    "fields",
    [{"audio": {"mode": "loud"}}, {"audio": {}}, {"spawn": {"x": 0, "y": 0}}, {"spawn": {"x": 0, "y": 0, "z": True}},
     {"settings": {"a": "x" * 9000}}, {"settings": {"a": ["\x00"]}}, {"audio": {"mode": "stage", "\x00": 1}}],
)  # fmt: skip
async def test_settings_have_a_form(world: World, fields: dict[str, Any]) -> None:
    asking = world.call(moderation.update_settings, UpdateSettings(**WHERE, **fields), "alice")
    assert await refusal(asking) == "invalid_input"


@pytest.mark.parametrize(
    ("who", "outcome"),
    [("alice", "ok"), ("mona", "ok"), ("olivia", "ok"), ("dave", "forbidden"), ("guest", "forbidden")],
)
async def test_owner_and_moderators_change_settings(world: World, who: str, outcome: str) -> None:
    request = UpdateSettings(**WHERE, slow_mode_seconds=3)
    assert await refusal(world.call(moderation.update_settings, request, who)) == outcome


# Roles.


async def test_roles_are_given_shown_and_taken_away(world: World) -> None:
    given = await world.call(moderation.set_role, SetRole(**WHERE, account="dave", role="moderator"), "alice")
    assert (given.role, given.given, given.given_by) == ("moderator", "moderator", "alice")
    listed = await world.call(moderation.list_roles, ListRoles(**WHERE, limit=1), "alice")
    assert [role.account for role in listed.roles] == ["dave"]
    more = await world.call(moderation.list_roles, ListRoles(**WHERE, cursor=listed.next_cursor), "alice")
    assert ([role.account for role in more.roles], more.next_cursor) == (["mark"], None)
    mona = await world.call(moderation.get_role, GetRole(**WHERE, account="mona"), "alice")
    assert (mona.role, mona.given) == ("moderator", None), "from the primary"
    gone = await world.call(moderation.remove_role, RemoveRole(**WHERE, account="dave"), "alice")
    assert (gone.role, gone.given) == ("visitor", None)
    assert await refusal(
        world.call(moderation.set_role, SetRole(**WHERE, account="alice", role="member"), "alice")
    ) == "conflict"  # fmt: skip


@pytest.mark.parametrize(("who", "outcome"), [("mona", "forbidden"), ("dave", "forbidden"), ("olivia", "ok")])
async def test_the_owner_gives_roles(world: World, who: str, outcome: str) -> None:
    request = SetRole(**WHERE, account="dave", role="member")
    assert await refusal(world.call(moderation.set_role, request, who)) == outcome
    assert await refusal(world.call(moderation.list_roles, ListRoles(**WHERE), who)) == outcome
    assert await refusal(world.call(moderation.get_role, GetRole(**WHERE, account="dave"), who)) == outcome


# The audit trail.


async def test_everything_is_in_the_audit_trail_newest_first(world: World) -> None:
    await world.call(moderation.update_settings, UpdateSettings(**WHERE, max_users=9, reason="small"), "alice")
    await world.call(moderation.set_role, SetRole(**WHERE, account="dave", role="member"), "alice")
    await world.call(moderation.kick, Kick(**WHERE, reason="loud", account="dave"), "mona")
    await world.call(moderation.ban, sanctioning(address=FAR), "mona")
    trail = await world.call(moderation.list_audit, ListAudit(**WHERE, limit=3), "alice")
    assert [(e.action, e.actor, e.reason) for e in trail.entries] == [
        ("ban", "account:mona", "rude"), ("kick", "account:mona", "loud"), ("role", "account:alice", None),
    ]  # fmt: skip
    assert trail.entries[0].subject is None
    rest = await world.call(moderation.list_audit, ListAudit(**WHERE, cursor=trail.next_cursor), "alice")
    assert [(e.action, e.details) for e in rest.entries] == [("settings", {"max_users": 9})]
    assert await refusal(world.call(moderation.list_audit, ListAudit(**WHERE), "dave")) == "forbidden"
    seen = await world.call(moderation.list_audit, ListAudit(**WHERE), "olivia")
    assert seen.entries[0].subject == f"{FAR}/32"


async def test_a_command_that_comes_twice_is_carried_out_once(world: World) -> None:
    request = sanctioning(account="dave", client_message_id=new_id())
    first, second = [await world.call(moderation.ban, request, "mona") for _ in range(2)]
    assert first == second
    lifting = LiftSanction(**WHERE, reason="enough", account="dave", client_message_id=new_id())
    for _ in range(2):
        await world.call(moderation.unban, lifting, "mona")
    trail = await world.call(moderation.list_audit, ListAudit(**WHERE), "alice")
    assert [entry.action for entry in trail.entries] == ["unban", "ban"]


@pytest.mark.parametrize("mode", ["ambient", "spatial", "stage", "announcement"])
async def test_every_audio_mode_can_be_set(world: World, mode: str) -> None:
    request = UpdateSettings(**WHERE, audio={"mode": mode})
    assert (await world.call(moderation.update_settings, request, "alice")).audio == {"mode": mode}


OTHERS: list[tuple[Any, Any]] = [
    (moderation.kick, Kick(**WHERE, reason="rude", account="dave", client_message_id="taken")),
    (moderation.mute, sanctioning(account="dave", client_message_id="taken")),
    (moderation.unban, LiftSanction(**WHERE, reason="r", account="carol", client_message_id="taken")),
    (moderation.set_role, SetRole(**WHERE, account="dave", role="member", client_message_id="taken")),
    (moderation.update_settings, UpdateSettings(**WHERE, max_users=7, client_message_id="taken")),
    (moderation.ban, ImposeSanction("document", "124", reason="r", account="dave", client_message_id="taken")),
]


@pytest.mark.parametrize(("operation", "request_"), OTHERS, ids=lambda value: getattr(value, "name", ""))
async def test_a_command_under_another_commands_id_is_a_conflict(world: World, operation: Any, request_: Any) -> None:
    """An id that was another command's, or the same one's in another space."""
    await world.call(moderation.ban, sanctioning(account="carol", client_message_id="taken"), "olivia")
    assert await refusal(world.call(operation, request_, "olivia")) == "conflict"


async def test_subscribers_hear_of_moderation_without_addresses(world: World) -> None:
    await world.call(moderation.ban, sanctioning(account="dave"), "mona")
    await world.call(moderation.ban, sanctioning(address=FAR), "mona")
    await _all_consumed(world)
    told = [event.payload for event in world.bus.published if event.name == moderation.moderated.name]
    assert [(p["action"], p["subject_kind"], p["subject"], p["reason"]) for p in told] == [
        ("ban", "account", "dave", "rude"), ("ban", "address", None, "rude"),
    ]  # fmt: skip


async def test_subrooms_are_counted(world: World) -> None:
    assert [vars(room) for room in (await world.call(spaces.list_subrooms, ListSubrooms(**WHERE))).subrooms] == [
        {"subspace": "main", "active_users": 0}
    ]
    await world.enter(PHOTO, "dave", "Gus", subspace="attic")
    await world.enter(PHOTO, "carol", subspace="cellar")
    rooms = (await world.call(spaces.list_subrooms, ListSubrooms(**WHERE), "anonymous")).subrooms
    assert [(room.subspace, room.active_users) for room in rooms] == [("main", 0), ("attic", 2), ("cellar", 1)]
    hidden = ListSubrooms("post", "carol/not-for-you")
    assert await refusal(world.call(spaces.list_subrooms, hidden, "dave")) == "not_found"
