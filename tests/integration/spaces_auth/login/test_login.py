"""Login from the challenge to the logout, with real signatures, Redis and a Hive node."""

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deploy.local.keys import private_key, sign
from libs.common import cache
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import auth, spaces
from libs.common.contracts.auth import ChallengeRequest, Empty, GuestRequest, Login, Prove, Refresh, Tokens
from libs.common.contracts.spaces import Join
from libs.common.db.engine import Database
from libs.common.errors import SESSION_EXPIRED, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from services.spaces_auth.login.refreshes import Refreshes, Use
from services.spaces_auth.settings import Settings
from tests.integration.common.world import caller, identity, proxied
from tests.integration.spaces_auth.world import World, running
from tests.support.edge import HERE
from tests.support.refusals import refusal
from tests.support.settings import defaults


async def try_login(world: World, account: str, challenge: str, signature: str) -> str:
    return await refusal(world.call(auth.login, Login(account, challenge, signature), "anonymous"))


async def signed(world: World, account: str = "alice") -> tuple[str, str]:
    """A fresh challenge of the account, and its signature with the account's posting key."""
    text = (await world.challenge(account)).challenge
    return text, sign(text, private_key(account))


async def test_a_signed_challenge_is_exchanged_for_a_token_that_every_edge_verifies(world: World) -> None:
    session = await world.login("alice")
    found = await world.gatekeeper().identify(session.token, HERE)
    assert (found.identity.account, found.identity.display_name, found.admission) == ("alice", "alice", None)
    assert session.account == "alice"
    assert int(session.expires_at.timestamp()) == found.expires_at
    lifetime = session.expires_at - now()
    assert timedelta(minutes=59) < lifetime <= timedelta(hours=1)


async def test_the_challenge_names_host_account_and_times(world: World) -> None:
    made = await world.challenge("alice")
    assert "localhost:8080" in made.challenge
    assert "@alice" in made.challenge
    assert "issued: " in made.challenge
    assert f"expires: {made.expires_at:%Y-%m-%dT%H:%M}" in made.challenge
    assert (await world.challenge("alice")).challenge != made.challenge


async def test_a_challenge_is_good_for_one_login(world: World) -> None:
    text, signature = await signed(world)
    assert await try_login(world, "alice", text, signature) == "ok"
    assert await try_login(world, "alice", text, signature) == "unauthorized"


async def test_a_challenge_is_spent_by_a_failed_try(world: World) -> None:
    text, signature = await signed(world)
    assert await try_login(world, "alice", text, "00" * 65) == "unauthorized"
    assert await try_login(world, "alice", text, signature) == "unauthorized"


async def test_one_challenge_lets_one_of_ten_logins_at_once_succeed(world: World) -> None:
    text, signature = await signed(world)
    outcomes = await asyncio.gather(*(try_login(world, "alice", text, signature) for _ in range(10)))
    assert sorted(outcomes) == ["ok", *["unauthorized"] * 9]


async def test_another_accounts_challenge_is_refused_whoever_signs_it(world: World) -> None:
    text, _ = await signed(world, "bob")
    assert await try_login(world, "alice", text, sign(text, private_key("alice"))) == "unauthorized"
    text, _ = await signed(world, "bob")
    assert await try_login(world, "alice", text, sign(text, private_key("bob"))) == "unauthorized"


async def test_another_accounts_signature_is_refused(world: World) -> None:
    text, _ = await signed(world, "alice")
    assert await try_login(world, "alice", text, sign(text, private_key("bob"))) == "unauthorized"


@pytest.mark.parametrize("role", ["memo", "owner", "active"])
async def test_only_the_posting_key_logs_in(world: World, role: str) -> None:
    text = (await world.challenge("alice")).challenge
    assert await try_login(world, "alice", text, sign(text, private_key("alice", role))) == "unauthorized"


async def test_an_altered_text_is_refused_although_it_is_signed(world: World) -> None:
    for change in (("@alice", "@Alice"), ("localhost", "evil.example"), ("nonce: ", "nonce:  "), ("no funds", "funds")):
        text = (await world.challenge("alice")).challenge
        altered = text.replace(*change)
        assert altered != text
        assert await try_login(world, "alice", altered, sign(altered, private_key("alice"))) == "unauthorized"


async def test_a_text_of_ones_own_is_refused(world: World) -> None:
    for text in ("nonce: ", "hello", "nonce: x\n", '{"type":"Buffer","data":[1]}', "\n"):
        assert await try_login(world, "alice", text, sign(text, private_key("alice"))) == "unauthorized"


async def test_a_challenge_runs_out(database_url: str, redis_url: str, hive_url: str) -> None:
    async with running(database_url, redis_url, hive_url, challenge_seconds=1) as world:
        text, signature = await signed(world)
        async with asyncio.timeout(5):
            while await world.redis.redis.keys("auth:challenge:*"):  # noqa: ASYNC110  Redis forgets it
                await asyncio.sleep(0.02)
        assert await try_login(world, "alice", text, signature) == "unauthorized"


async def test_an_account_that_hive_does_not_know_cannot_log_in(world: World) -> None:
    text = (await world.call(auth.challenge, ChallengeRequest("mallory"), "anonymous")).challenge
    assert await try_login(world, "mallory", text, sign(text, private_key("mallory"))) == "unauthorized"


@pytest.mark.parametrize(
    "written",
    [
        "Alice",
        "@alice ",
        " ALICE",
        "\uff20alice",
        "\u200b@Alice\u00a0",
        "alice\n",
        "\uff20\uff21\uff4c\uff49\uff43\uff45",
    ],
)
async def test_an_account_logs_in_however_its_name_is_written(world: World, written: str) -> None:
    made = await world.challenge(written)
    assert "as @alice." in made.challenge
    signature = sign(made.challenge, private_key("alice"))
    assert (await world.call(auth.login, Login(written, made.challenge, signature), "anonymous")).account == "alice"
    text = (await world.challenge(written)).challenge
    assert await prove(world, text, written) == "alice"


@pytest.mark.parametrize(
    "written", ["", "@", "@@alice", "al ice", "alice!", "a" * 17, "\u0430lice", "ali\u200bce", " " * 70]
)
async def test_what_is_no_name_of_an_account_is_refused(world: World, written: str) -> None:
    assert await refusal(world.challenge(written)) == "invalid_input"


async def test_an_account_logs_in_with_the_key_of_the_account_that_posts_for_it(world: World) -> None:
    text = (await world.challenge("erin")).challenge
    login = Login("erin", text, sign(text, private_key("alice")))
    session = await world.call(auth.login, login, "anonymous")
    assert (await world.gatekeeper().identify(session.token, HERE)).identity.account == "erin"
    for signer in ("bob", "erin"):
        text = (await world.challenge("erin")).challenge
        assert await try_login(world, "erin", text, sign(text, private_key(signer))) == "unauthorized"


async def test_login_is_unavailable_while_no_hive_node_answers(
    database_url: str, redis_url: str, hive_url: str
) -> None:
    async with proxied(hive_url) as proxy:
        await proxy.close()
        async with running(database_url, redis_url, proxy.url) as world:
            text, signature = await signed(world)
            assert await try_login(world, "alice", text, signature) == "unavailable"


async def test_login_is_unavailable_while_redis_is_away(database_url: str, redis_url: str, hive_url: str) -> None:
    async with proxied(redis_url) as proxy, running(database_url, proxy.url, hive_url) as world:
        text, signature = await signed(world)
        await proxy.close()
        assert await refusal(world.challenge()) == "unavailable"
        assert await try_login(world, "alice", text, signature) == "unavailable"


async def refresh(world: World, session: Tokens, request_id: str | None = None) -> Tokens:
    """By a request of its own, as an edge numbers them."""
    asking = Caller(identity("anonymous"), request_id or new_id())
    return await world.call(auth.refresh, Refresh(session.refresh_token), asking)


async def used_earlier(world: World, session: Tokens, seconds: float) -> None:
    """Has the session's refresh token been used so much longer ago."""
    statement = """UPDATE refresh_tokens SET used_at = used_at - make_interval(secs => :seconds)
                   WHERE token_hash = sha256(convert_to(:token, 'UTF8')) RETURNING 1"""
    assert await world.owner.sql(statement, seconds=seconds, token=session.refresh_token)


async def test_a_refresh_token_is_exchanged_for_a_new_pair_of_the_same_login(world: World) -> None:
    first = await world.login()
    second = await refresh(world, first)
    third = await refresh(world, second)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    old = (await world.gatekeeper().identify(first.token, HERE)).identity
    new = (await world.gatekeeper().identify(third.token, HERE)).identity
    assert (new.account, new.login_id) == ("alice", old.login_id)
    assert new.token_id != old.token_id


async def test_tabs_that_refresh_at_once_get_the_same_refresh_token_and_tokens_that_work(world: World) -> None:
    for _ in range(10):
        first = await world.login()
        tabs = await asyncio.gather(*(refresh(world, first) for _ in range(4)))
        assert len({tab.refresh_token for tab in tabs}) == 1
        assert len({tab.token for tab in tabs}) == len(tabs)
        for tab in (first, *tabs):
            assert (await world.gatekeeper().identify(tab.token, HERE)).identity.account == "alice"
        assert (await refresh(world, tabs[0])).account == "alice"


@pytest.mark.parametrize("age", [2, 28])
async def test_a_refresh_whose_answer_was_lost_is_asked_again(world: World, age: float) -> None:
    first = await world.login()
    lost = await refresh(world, first)
    await used_earlier(world, first, age)
    again = await refresh(world, first)
    assert again.refresh_token == lost.refresh_token
    assert (await world.gatekeeper().identify(again.token, HERE)).identity.account == "alice"
    assert (await refresh(world, again)).account == "alice"


async def test_a_refresh_token_that_comes_again_later_is_stolen(world: World) -> None:
    first, other = await world.login(), await world.login()
    second = await refresh(world, first)
    await used_earlier(world, first, world.settings.refresh_repeat_seconds + 1)
    assert await refusal(refresh(world, first)) == "unauthorized"
    assert await refusal(refresh(world, second)) == "unauthorized", "the thief's or the owner's: nobody knows"
    assert (await refresh(world, other)).account == "alice"


async def test_a_refresh_token_that_comes_again_after_its_successor_was_used_is_stolen(world: World) -> None:
    """However soon: whoever goes on with the successor has had the answer."""
    first, other = await world.login(), await world.login()
    second = await refresh(world, first)
    third = await refresh(world, second)
    assert await refusal(refresh(world, first)) == "unauthorized"
    for ended in (second, third):
        assert await refusal(refresh(world, ended)) == "unauthorized"
    assert (await refresh(world, other)).account == "alice"


async def test_a_refresh_that_the_bus_brings_twice_is_one(world: World) -> None:
    """The broker broke under it: that is no thief, also where both are worked on at once."""
    first, request = await world.login(), new_id()
    answers = [await refresh(world, first, request) for _ in range(2)]
    answers += await asyncio.gather(*(refresh(world, first, request) for _ in range(3)))
    assert len({answer.refresh_token for answer in answers}) == 1
    await asyncio.sleep(0.002)  # ids have milliseconds
    second = await refresh(world, answers[0])
    assert await refusal(refresh(world, first, request)) == "unauthorized", "late: whoever asked has gone on"
    second = await refresh(world, second)
    assert await refusal(refresh(world, first, new_id())) == "unauthorized", "asked anew"
    assert await refusal(refresh(world, second)) == "unauthorized"


async def test_a_refresh_that_fails_on_the_way_leaves_its_token_usable(world: World) -> None:
    """Between the use of the one and the storing of the other."""
    first = await world.login()
    await world.owner.sql("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                             $$ BEGIN RAISE 'no room'; END $$""")
    await world.owner.sql("CREATE TRIGGER full_up BEFORE INSERT ON refresh_tokens EXECUTE FUNCTION refuse()")
    try:
        with pytest.raises(PresenceError):
            await refresh(world, first)
    finally:
        await world.owner.sql("DROP FUNCTION refuse() CASCADE")
    await used_never(world, first)
    second = await refresh(world, first)
    assert (await refresh(world, second)).account == "alice"


async def used_never(world: World, session: Tokens) -> None:
    statement = "SELECT used_at FROM refresh_tokens WHERE token_hash = sha256(convert_to(:token, 'UTF8'))"
    (row,) = await world.owner.sql(statement, token=session.refresh_token)
    assert row.used_at is None


async def test_an_outage_does_not_count_as_time_in_which_one_could_have_asked_again(
    database_url: str, redis_url: str, hive_url: str
) -> None:
    async with running(database_url, redis_url, hive_url) as world:
        lost, in_vain, earlier = await world.login(), await world.login("dave"), await world.login("bob")
        for session, seconds in ((earlier, 610), (in_vain, 590), (lost, 300)):
            await refresh(world, session)
            await used_earlier(world, session, seconds)
        await world.owner.sql("UPDATE refresh_tokens SET created_at = created_at - interval '300 seconds'")
    async with running(database_url, redis_url, hive_url) as world:
        await world.login("carol")
        assert (await refresh(world, lost)).account == "alice", "its time had not run out when the outage began"
        assert (await refresh(world, in_vain)).account == "dave", "for minutes there was an outage after the other"
        assert await refusal(refresh(world, earlier)) == "unauthorized", "others were answered long after it"


async def test_a_token_exchanged_under_another_secret_gives_nothing_and_ends_nothing(database_url: str) -> None:
    database = Database(database_url, "spaces_auth", 2)
    settings = defaults(Settings, database_url=database_url)
    other = base64.b64encode(b"x" * 32).decode()
    before, after = (Refreshes(database, replace(settings, secret_key=key)) for key in (other, settings.secret_key))
    first = await before.begin("alice", new_id())
    second = (await before.exchange(first, new_id())).successor
    assert (await after.exchange(first, new_id())).use is Use.REFUSED
    assert (await after.exchange(second, new_id())).use is Use.GOOD
    await database.stop()


async def test_thefts_refreshes_and_logouts_of_one_login_at_once_end_it_and_wait_in_no_circle(world: World) -> None:
    for _ in range(5):
        first = await world.login()
        alice = (await world.gatekeeper().identify(first.token, HERE)).identity
        chain = [first]
        for _ in range(4):
            chain.append(await refresh(world, chain[-1]))
        asked = [refusal(refresh(world, session)) for session in chain * 3]
        asked += [refusal(world.call(auth.logout, Empty(), alice)) for _ in range(3)]
        assert set(await asyncio.gather(*asked)) <= {"ok", "unauthorized"}
        assert await world.owner.sql("SELECT 1 FROM refresh_tokens WHERE revoked_at IS NULL") == []


async def test_a_refresh_token_that_was_stolen_ends_what_was_got_by_it(world: World) -> None:
    """Also when the one who sees it fails between the two: it ends when the token comes again."""
    first, other = await world.login(), await world.login()
    second = await refresh(world, first)
    await used_earlier(world, first, world.settings.refresh_repeat_seconds + 1)
    alice = (await world.gatekeeper().identify(second.token, HERE)).identity
    admission = (await world.call(spaces.join, Join("post", "bob/sculpture-hall"), alice)).session_token
    for _ in range(2):
        assert await refusal(refresh(world, first)) == "unauthorized"
        for token in (first.token, second.token, admission):
            with pytest.raises(PresenceError, match="logged out"):
                await world.gatekeeper().identify(token, HERE)
        told: Any = await world.redis.redis.xrange(cache.LOGOUTS)
        assert [entry[b"id"].decode() for _, entry in told] == [alice.login_id], "so that live sockets hear of it"
        await world.redis.redis.flushdb()
    assert (await world.gatekeeper().identify(other.token, HERE)).identity.account == "alice"


@pytest.mark.parametrize("token", ["x", "a" * 43, "' OR 1=1 --"])
async def test_an_unknown_refresh_token_is_refused(world: World, token: str) -> None:
    assert await refusal(world.call(auth.refresh, Refresh(token), "anonymous")) == "unauthorized"


async def test_a_refresh_token_runs_out(world: World) -> None:
    session = await world.login()
    await world.owner.sql("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
    assert await refusal(refresh(world, session)) == "unauthorized"


async def test_refresh_tokens_are_not_stored_as_they_are(world: World) -> None:
    session = await world.login()
    (row,) = await world.owner.sql("SELECT token_hash FROM refresh_tokens")
    assert session.refresh_token.encode() not in row.token_hash


async def test_logout_ends_the_token_its_refresh_tokens_and_what_came_of_them(world: World) -> None:
    session, other = await world.login(), await world.login()
    edge = world.gatekeeper()
    alice = (await edge.identify(session.token, HERE)).identity
    admission = (await world.call(spaces.join, Join("post", "bob/sculpture-hall"), alice)).session_token
    assert (await edge.identify(admission, HERE)).identity.account == "alice"
    refreshed = await refresh(world, session)

    await world.logout(session.token)
    for token in (session.token, refreshed.token, admission):
        with pytest.raises(PresenceError, match="logged out"):
            await edge.identify(token, HERE)
    assert await refusal(refresh(world, refreshed)) == "unauthorized"
    assert (await edge.identify(other.token, HERE)).identity.account == "alice", "another device's login goes on"
    assert (await refresh(world, other)).account == "alice"


async def test_a_refresh_while_one_logs_out_leaves_nothing_that_works(world: World) -> None:
    for _ in range(10):
        session = await world.login()
        identity = (await world.gatekeeper().identify(session.token, HERE)).identity
        refreshed, _ = await asyncio.gather(
            refresh(world, session), world.call(auth.logout, Empty(), identity), return_exceptions=True
        )
        if isinstance(refreshed, Tokens):
            assert await refusal(refresh(world, refreshed)) == "unauthorized"
        assert await world.owner.sql("SELECT 1 FROM refresh_tokens WHERE revoked_at IS NULL") == []


async def test_logout_without_a_token_is_nothing(world: World) -> None:
    assert await world.call(auth.logout, Empty(), "anonymous") == Empty()
    assert await world.redis.redis.keys("auth:denied:*") == []


async def test_a_denial_lasts_as_long_as_the_longest_token(world: World) -> None:
    await world.logout((await world.login()).token)
    for key in await world.redis.redis.keys("auth:denied:*"):
        assert await world.redis.redis.ttl(key) > world.settings.guest_token_seconds - 10


async def test_a_guest_keeps_its_id_for_the_life_of_its_token(world: World) -> None:
    made = await world.call(auth.guest, GuestRequest("Al"), "anonymous")
    edge = world.gatekeeper()
    found = [(await edge.identify(made.token, HERE)).identity for _ in range(2)]
    assert {one.id for one in found} == {made.guest_id}
    assert (found[0].account, found[0].display_name) == (None, "Al (guest)")
    assert (await world.call(auth.guest, GuestRequest("Al"), "anonymous")).guest_id != made.guest_id
    nameless = await world.call(auth.guest, GuestRequest(), "anonymous")
    assert nameless.display_name == f"Guest-{nameless.guest_id[-6:]}"


async def test_a_guests_token_can_be_logged_out(world: World) -> None:
    token = (await world.call(auth.guest, GuestRequest(), "anonymous")).token
    await world.logout(token)
    with pytest.raises(PresenceError) as raised:
        await world.gatekeeper().identify(token, HERE)
    assert raised.value.kind is UNAUTHORIZED


@pytest.mark.parametrize("named", [True, False], ids=["guest", "nobody"])
async def test_a_guests_logout_ends_its_admissions(world: World, named: bool) -> None:
    """Who shows no token becomes a guest by joining, whose admission leads to further ones."""
    edge, lobby = world.gatekeeper(), Join("global", "lobby")
    made = await world.call(auth.guest, GuestRequest(), "anonymous")
    token = made.token if named else (await world.call(spaces.join, lobby, "anonymous")).session_token
    guest = (await edge.identify(token, HERE)).identity
    admission = (await world.call(spaces.join, lobby, guest)).session_token
    assert (await edge.identify(admission, HERE)).identity.id == guest.id
    await world.logout(token)
    for ended in (token, admission):
        with pytest.raises(PresenceError, match="logged out"):
            await edge.identify(ended, HERE)


async def test_a_token_runs_out(database_url: str, redis_url: str, hive_url: str) -> None:
    async with running(database_url, redis_url, hive_url, token_seconds=-1) as world:
        token = (await world.login()).token
        with pytest.raises(PresenceError) as raised:
            await world.gatekeeper().identify(token, HERE)
        assert raised.value.kind is SESSION_EXPIRED


async def test_me_says_who_one_is(world: World) -> None:
    edge = world.gatekeeper()
    alice = await world.call(auth.me, Empty(), (await edge.identify((await world.login()).token, HERE)).identity)
    assert (alice.kind, alice.account, alice.guest_id, alice.operator) == ("account", "alice", None, False)
    made = await world.call(auth.guest, GuestRequest("Al"), "anonymous")
    guest = await world.call(auth.me, Empty(), (await edge.identify(made.token, HERE)).identity)
    assert (guest.kind, guest.account, guest.guest_id) == ("guest", None, made.guest_id)
    nobody = await world.call(auth.me, Empty(), (await edge.identify("", HERE)).identity)
    assert (nobody.kind, nobody.guest_id) == ("guest", None)
    operator = await world.call(auth.me, Empty(), caller(Identity("account", "olivia", "olivia", operator=True)))
    assert operator.operator


async def prove(world: World, challenge: str, account: str | None, signer: str = "alice", text: str = "") -> str:
    proof = Prove(challenge, sign(text or challenge, private_key(signer)), account)
    try:
        token = (await world.call(auth.prove, proof, "anonymous")).token
    except PresenceError as error:
        return error.kind.code
    return str((await world.gatekeeper().identify(token, HERE)).identity.account)


async def test_a_signature_stands_for_a_token_once(world: World) -> None:
    for account in ("alice", None):
        text = (await world.challenge()).challenge
        assert await prove(world, text, account) == "alice"
        assert await prove(world, text, account) == "unauthorized", "it is spent"


async def test_a_nonce_stands_for_its_challenge_where_lines_cannot_go(world: World) -> None:
    text = (await world.challenge()).challenge
    nonce = next(line.removeprefix("nonce: ") for line in text.splitlines() if line.startswith("nonce: "))
    assert await prove(world, nonce, None, text=text) == "alice"


async def test_a_signature_proves_its_own_account_only(world: World) -> None:
    for account, signer in (("bob", "alice"), ("bob", "bob"), ("alice", "bob"), (None, "bob")):
        text = (await world.challenge()).challenge
        assert await prove(world, text, account, signer) == "unauthorized"
    for text in ("dlux_vr_1700000000000_abcdefghi", '{"type":"Buffer","data":[97]}', "nonce: x"):
        assert await prove(world, text, "alice") == "unauthorized", "only our own texts"


async def test_several_signatures_of_one_text_are_one_login(world: World) -> None:
    text = (await world.challenge()).challenge
    alice, bob = (sign(text, private_key(name)) for name in ("alice", "bob"))
    assert (await world.call(auth.login, Login("alice", text, bob, [alice]), "anonymous")).account == "alice"


async def test_a_hundred_logins_at_once_all_succeed(world: World) -> None:
    names = ["alice", "bob", "carol", "dave"] * 25
    sessions = await asyncio.gather(*(world.login(name) for name in names))
    assert [session.account for session in sessions] == names
    assert len({session.refresh_token for session in sessions}) == 100
