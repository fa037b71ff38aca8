"""The scripts of `Presence` on a real Redis: capacity, take-over, versions, leases and sweeps."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common import cache
from libs.common.errors import PresenceError
from services.realtime.cluster.messages import MembersJoined, MembersLeft
from services.realtime.cluster.presence import UNBOUNDED, JoinResult
from tests.integration.realtime.people import code_of
from tests.integration.realtime.register import Register, registered
from tests.integration.realtime.world import PATIENCE, make_member
from tests.support.waiting import eventually


@pytest.fixture
async def register(redis_url: str) -> AsyncIterator[Register]:
    async with registered(redis_url) as made:
        yield made


# Capacity.


async def test_of_one_more_than_the_capacity_at_once_all_but_one_come_in(register: Register) -> None:
    names = [f"n{number}" for number in range(6)]
    answers = await asyncio.gather(
        *(register.join(name, f"r{number % 2}", most=5) for number, name in enumerate(names))
    )
    assert sorted(answers) == ["ok"] * 5 + ["space_full"]
    assert len(await register.names()) == 5


async def test_of_one_more_than_the_capacity_in_one_batch_the_last_stays_outside(register: Register) -> None:
    names = [f"n{number}" for number in range(6)]
    assert await register.join_together(names, most=5) == ["ok"] * 5 + ["space_full"]
    assert await register.names() == set(names[:5])
    (announced,) = await register.announced()
    assert isinstance(announced, MembersJoined)
    assert [arrival.member.display_name for arrival in announced.arrivals] == names[:5], "once, and nobody else"


async def test_a_full_space_says_how_many_are_in_it(register: Register) -> None:
    await register.join_together(["ann", "bob"], most=2)
    with pytest.raises(PresenceError) as refused:
        await register.enter(make_member("cy"), most=2)
    assert refused.value.details == {"capacity": {"used": 2, "total": 2}}


async def test_capacity_counts_all_subspaces(register: Register) -> None:
    assert await register.join("ann", subspace="main", most=2) == "ok"
    assert await register.join("bob", subspace="attic", most=2) == "ok"
    assert await register.join("cy", subspace="cellar", most=2) == "space_full"


async def test_a_member_without_bound_enters_a_full_space_and_counts_for_the_others(register: Register) -> None:
    assert await register.join("ann", most=1) == "ok"
    assert await register.join("olivia", most=UNBOUNDED) == "ok"
    assert await register.join("bob", most=2) == "space_full"
    assert await register.names() == {"ann", "olivia"}


async def test_a_space_has_room_again_once_somebody_left(register: Register) -> None:
    await register.join("ann", most=1)
    await register.leave("ann")
    assert await register.join("bob", most=1) == "ok"


# Taking a place over.


async def test_a_person_takes_the_place_of_the_connection_that_broke_also_in_a_full_space(register: Register) -> None:
    old, new = make_member("ann"), make_member("ann2", "r2")
    await register.enter(old, person="account:ann", most=1)
    await register.mark_dropped(old)
    result = await register.enter(new, person="account:ann", most=1)
    assert result.replaced == old
    assert await register.names() == {"ann2"}
    announced = (await register.announced())[-1]
    assert isinstance(announced, MembersJoined)
    assert [(arrival.member, arrival.replaces) for arrival in announced.arrivals] == [(new, old.socket_id)]


async def test_a_place_is_taken_over_once(register: Register) -> None:
    old = make_member("ann")
    await register.enter(old, person="account:ann")
    await register.mark_dropped(old)
    second = await register.enter(make_member("ann2"), person="account:ann")
    third = await register.enter(make_member("ann3"), person="account:ann")
    assert (second.replaced, third.replaced) == (old, None)
    assert await register.names() == {"ann2", "ann3"}


async def test_another_person_takes_nobodys_place(register: Register) -> None:
    old = make_member("ann")
    await register.enter(old, person="account:ann")
    await register.mark_dropped(old)
    assert (await register.enter(make_member("bob"), person="account:bob")).replaced is None
    assert (await register.enter(make_member("nil"), person="")).replaced is None
    assert await register.names() == {"ann", "bob", "nil"}


async def test_a_socket_that_joins_twice_is_its_own_successor(register: Register) -> None:
    first, again = make_member("ann"), make_member("ann", subspace="attic")
    await register.enter(first, most=1)
    result = await register.enter(again, most=1)
    assert result.replaced == first
    assert await register.stored() == [again]
    assert await register.count() == 1
    announced = (await register.announced())[-1]
    assert isinstance(announced, MembersJoined)
    assert announced.arrivals[0].replaces == first.socket_id


# Leaving.


async def test_leaving_twice_is_announced_once(register: Register) -> None:
    await register.join("ann")
    assert await register.leave("ann") == {"ann"}
    version = await register.version()
    assert await register.leave("ann") == set()
    assert await register.version() == version
    assert [type(message) for message in await register.announced()] == [MembersJoined, MembersLeft]


async def test_leaving_twice_at_once_is_announced_once(register: Register) -> None:
    await register.join("ann")
    left = await asyncio.gather(register.leave("ann", by="r1"), register.leave("ann", by="r2"))
    assert sorted(map(len, left)) == [0, 1]
    assert [type(message) for message in await register.announced()] == [MembersJoined, MembersLeft]


async def test_a_leave_of_somebody_unknown_announces_nothing_and_raises_no_version(register: Register) -> None:
    await register.join("ann")
    version = await register.version()
    assert await register.leave("nobody") == set()
    assert await register.version() == version
    assert len(await register.announced()) == 1


async def test_of_those_who_leave_together_only_the_known_are_announced(register: Register) -> None:
    await register.join_together(["ann", "bob"])
    assert await register.leave("ann", "nobody", "bob") == {"ann", "bob"}
    announced = (await register.announced())[-1]
    assert isinstance(announced, MembersLeft)
    assert announced.socket_ids == ["r1-ann", "r1-bob"]


async def test_an_update_never_brings_back_a_member_who_left(register: Register) -> None:
    ann = make_member("ann")
    await register.enter(ann)
    await register.leave("ann")
    await register.presence().update(register.space, ann)
    assert await register.stored() == []


async def test_an_update_changes_the_record_and_announces_nothing(register: Register) -> None:
    ann = make_member("ann")
    await register.enter(ann)
    ann.avatar_data = {"hat": True}
    await register.presence().update(register.space, ann)
    assert await register.stored() == [ann]
    assert len(await register.announced()) == 1


async def test_entities_go_with_their_owner(register: Register) -> None:
    await register.join_together(["ann", "bob"])
    await register.spawn("ann", "chair", "lamp")
    await register.spawn("bob", "table")
    await register.leave("ann")
    assert await register.entities() == {"main:table"}


async def test_entities_stay_with_a_person_who_takes_their_place_and_go_with_the_last_of_their_sockets(
    register: Register,
) -> None:
    ann = make_member("ann")
    await register.enter(ann, person="account:ann")
    await register.put_entity("account:ann", "chair")
    await register.mark_dropped(ann)
    await register.enter(make_member("ann2"), person="account:ann")
    await register.enter(make_member("ann3"), person="account:ann")
    assert await register.entities() == {"main:chair"}
    await register.leave("ann2")
    assert await register.entities() == {"main:chair"}
    await register.leave("ann3")
    assert await register.entities() == set()


async def test_entities_go_with_the_last_socket_of_their_owner_in_the_subspace(register: Register) -> None:
    await register.enter(make_member("ann"), person="account:ann")
    await register.enter(make_member("ann2", subspace="attic"), person="account:ann")
    await register.put_entity("account:ann", "chair")
    await register.leave("ann")
    assert await register.entities() == set()


async def break_two_tabs(register: Register) -> None:
    tabs = [make_member("one"), make_member("two")]
    for tab in tabs:
        await register.enter(tab, person="account:ann")
    for tab in tabs:
        await register.mark_dropped(tab)


async def test_two_connections_of_a_person_that_broke_are_replaced_one_by_one(register: Register) -> None:
    await break_two_tabs(register)
    answers = await asyncio.gather(
        *(register.enter(make_member(name, "r2"), person="account:ann") for name in ("three", "four"))
    )
    assert {answer.replaced.socket_id for answer in answers if answer.replaced} == {"r1-one", "r1-two"}
    assert await register.names() == {"three", "four"}


async def test_those_of_a_person_who_come_back_in_one_batch_are_told_of_different_predecessors(
    register: Register,
) -> None:
    await break_two_tabs(register)
    presence = register.presence("r2")
    requests = [register.request(make_member(name, "r2"), "account:ann") for name in ("three", "four")]
    answers = await presence.join(register.space, requests)
    told = [answer.predecessor.socket_id for answer in answers if isinstance(answer, JoinResult) and answer.predecessor]
    assert told == ["r1-one", "r1-two"]


async def test_a_person_whose_connection_lives_is_asked_about_and_keeps_it(register: Register) -> None:
    await register.enter(make_member("ann"), person="account:ann")
    request = register.request(make_member("ann2", "r2"), "account:ann")
    (asked,) = await register.presence("r2").join(register.space, [request])
    assert isinstance(asked, JoinResult)
    assert asked.predecessor
    assert asked.predecessor.socket_id == "r1-ann"
    assert (await register.enter(make_member("ann2", "r2"), person="account:ann")).replaced is None
    assert await register.names() == {"ann", "ann2"}


async def test_an_earlier_state_of_an_entity_overtakes_no_later_one(register: Register) -> None:
    await register.join("ann")
    await register.put_entity("ann", "chair", stamp=3, colour="blue")
    await register.put_entity("ann", "chair", stamp=2, colour="red")
    assert await register.colours() == {"main:chair": "blue"}
    await register.remove_entity("ann", "chair", stamp=2)
    assert await register.entities() == {"main:chair"}
    await register.remove_entity("ann", "chair", stamp=3)
    assert await register.entities() == set()


async def test_leaving_reads_no_entity_of_anybody(register: Register) -> None:
    await register.join_together(["ann", "bob"])
    await register.spawn("bob", "table")
    before = await register.calls_of("hgetall")
    await register.leave("ann")
    assert await register.calls_of("hgetall") == before


async def test_an_entity_that_is_put_after_its_owner_left_is_not_kept(register: Register) -> None:
    await register.join_together(["ann", "bob"])
    await register.put_entity("bob", "table")
    await register.leave("ann")
    await register.put_entity("ann", "chair")
    assert await register.entities() == {"main:table"}


async def test_an_empty_space_leaves_nothing_in_redis_but_a_version_that_ends(register: Register) -> None:
    await register.join_together(["ann", "bob"])
    await register.put_entity("ann", "chair")
    await register.leave("ann")
    version = cache.version(register.space)
    assert await register.redis.ttl(version) == -1, "while somebody is there"
    await register.leave("bob")
    assert [key async for key in register.redis.scan_iter("{*}*") if not key.startswith(b"{replica:")] == [
        version.encode()
    ]
    assert 0 < await register.redis.ttl(version) <= cache.VERSION_SECONDS
    await register.join("cy")
    assert await register.redis.ttl(version) == -1


# Versions and counts.


async def test_each_change_raises_the_version_by_one(register: Register) -> None:
    await register.join("ann")
    first = await register.version()
    await register.join_together(["bob", "cy"])
    await register.leave("ann", "bob")
    assert [message.version for message in await register.announced()] == [first, first + 1, first + 2]
    roll = await register.presence().roll(register.space)
    assert (set(roll.members), roll.version) == ({"r1-cy"}, first + 2)


async def test_a_version_that_redis_lost_never_goes_back(register: Register) -> None:
    await register.join("ann")
    before = await register.version()
    await eventually(lambda: register.clock_is_beyond(before), PATIENCE)
    await register.redis.flushdb()
    await register.join("bob")
    assert await register.version() > before


async def test_the_popular_spaces_count_sockets_exactly(register: Register) -> None:
    assert await register.count() is None
    await register.join_together(["ann", "bob", "cy"], most=3)
    await register.join("dan", "r2", most=3)
    assert await register.count() == 3
    await register.leave("ann", "nobody")
    await register.leave("ann")
    assert await register.count() == 2
    await register.expire("r1")
    await register.presence("r2").sweep()
    assert await register.count() is None, "an empty space is not popular"


# Leases.


async def test_a_lease_is_renewed_until_it_expires(register: Register) -> None:
    presence = register.presence("r1", lease=0.2)
    assert not await presence.renew(), "there was none"
    assert await presence.renew()
    await eventually(lambda: register.is_expired("r1"), PATIENCE)
    assert not await presence.renew(), "it had run out"
    presence = register.presence("r1")
    await presence.renew()
    assert await presence.renew()


async def test_a_sweep_takes_the_members_of_expired_replicas_only(register: Register) -> None:
    await register.join("ann", "r1")
    await register.join("bob", "r2")
    await register.expire("r1")
    assert await register.sweep("r2") == {"ann"}
    assert await register.names() == {"bob"}
    announced = (await register.announced())[-1]
    assert isinstance(announced, MembersLeft)
    assert (announced.socket_ids, announced.reason) == (["r1-ann"], "lost")
    assert await register.sweep("r2") == set()


async def test_two_sweepers_announce_a_member_once(register: Register) -> None:
    await register.join_together(["ann", "bob"], "r1")
    await register.expire("r1")
    swept = await asyncio.gather(*(register.sweep(replica) for replica in ("r2", "r3", "r4")))
    assert sorted(map(len, swept)) == [0, 0, 2]
    assert [type(message) for message in await register.announced()] == [MembersJoined, MembersLeft]


async def test_a_sweep_forgets_nothing_of_a_lease_that_was_renewed_meanwhile(register: Register) -> None:
    await register.join("ann", "r1")
    await register.expire("r1")

    async def come_back() -> None:
        await register.presence("r1").renew()
        await register.join("bob", "r1")

    assert await register.sweep("r2", meanwhile=come_back) == {"ann"}
    assert await register.has_lease("r1")
    await register.expire("r1")
    assert await register.sweep("r2") == {"bob"}, "a sweeper still finds the space"


async def test_a_replica_that_dies_right_after_the_script_still_leads_a_sweeper_to_the_space(
    register: Register,
) -> None:
    dying = register.dying_presence("r1")
    await register.presence("r1").renew()
    assert await code_of(dying.join(register.space, [register.request(make_member("ann"))])) == "unavailable"
    assert await register.names() == {"ann"}
    await register.expire("r1")
    assert await register.sweep("r2") == {"ann"}
    assert await register.names() == set()


async def test_a_lease_given_back_is_no_more_swept(register: Register) -> None:
    await register.join("ann", "r1")
    await register.leave("ann")
    await register.presence("r1").release()
    assert not await register.has_lease("r1")
    assert await register.sweep("r2") == set()
