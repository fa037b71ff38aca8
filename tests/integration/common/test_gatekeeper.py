"""From a bearer token to who it is, at an edge."""

import pytest

from libs.common import cache
from libs.common.edge.gatekeeper import FOREVER
from libs.common.errors import SESSION_EXPIRED, UNAUTHORIZED, UNAVAILABLE, PresenceError
from libs.common.identity import Identity
from libs.common.settings import EdgeSettings
from tests.integration.common.world import proxied
from tests.support.edge import SIGNER, Edge, token
from tests.support.settings import defaults


@pytest.mark.parametrize("bearer", ["", ":alice", ":"])
async def test_no_token_or_only_a_name_is_a_new_guest_each_time(redis_url: str, bearer: str) -> None:
    async with Edge(redis_url) as edge:
        one, two = await edge.identify(bearer), await edge.identify(bearer)
    for found in (one, two):
        assert (found.identity.kind, found.identity.account, found.identity.token_id) == ("guest", None, None)
        assert "alice" not in found.identity.display_name
        assert found.expires_at == FOREVER
    assert one.identity.id != two.identity.id


async def test_a_good_token_is_its_account(redis_url: str) -> None:
    encoded, said = token()
    async with Edge(redis_url) as edge:
        found = (await edge.identify(encoded)).identity
    assert found == said
    assert (found.account, found.operator) == ("alice", False)


async def test_an_account_named_in_the_settings_is_an_operator(redis_url: str) -> None:
    async with Edge(redis_url) as edge:
        assert (await edge.identify(token("olivia")[0])).identity.operator


async def test_a_guest_cannot_be_an_operator_by_its_name(redis_url: str) -> None:
    encoded, _ = SIGNER.sign(Identity("guest", "olivia", "olivia"), 60)
    async with Edge(redis_url) as edge:
        assert not (await edge.identify(encoded)).identity.operator


async def test_the_operator_token_is_an_operator_and_nothing_near_it_is(redis_url: str) -> None:
    async with Edge(redis_url) as edge:
        assert (await edge.identify("operate!")).identity == Identity("service", "operator", "operator", operator=True)
        for near in ("operate", "operate!!", "Operate!", "opérate!", "\udcff"):
            await edge.refuses(near)


async def test_without_an_operator_token_nobody_is_one_by_it(redis_url: str) -> None:
    async with Edge(redis_url, defaults(EdgeSettings, operator_token="")) as edge:
        await edge.refuses("presence-operator")
        assert not (await edge.identify("")).identity.operator


async def test_an_expired_token_says_so(redis_url: str) -> None:
    async with Edge(redis_url) as edge:
        await edge.refuses(token(ttl=-1)[0], SESSION_EXPIRED)


@pytest.mark.parametrize("bearer", ["junk", "a.b.c", "a" * 130 + ":alice", "null", "undefined"])
async def test_anything_else_is_unauthorized(redis_url: str, bearer: str) -> None:
    async with Edge(redis_url) as edge:
        await edge.refuses(bearer)


async def test_a_token_that_was_logged_out_is_refused_and_no_other(redis_url: str) -> None:
    encoded, said = token()
    async with Edge(redis_url) as edge:
        await edge.redis.redis.set(cache.denied(said.token_id or ""), "1")
        await edge.refuses(encoded)
        assert (await edge.identify(token()[0])).identity.account == "alice"


async def test_every_token_of_a_login_that_was_ended_is_refused(redis_url: str) -> None:
    """Also its admissions, which have ids of their own."""
    async with Edge(redis_url) as edge:
        await edge.redis.redis.set(cache.denied("login-1"), "1")
        await edge.refuses(token(login_id="login-1")[0])
        assert (await edge.identify(token(login_id="login-2")[0])).identity.account == "alice"


async def test_while_redis_is_away_good_tokens_pass_and_bad_ones_do_not(redis_url: str) -> None:
    async with proxied(redis_url) as proxy:
        await proxy.close()
        async with Edge(proxy.url) as edge:
            assert (await edge.identify(token()[0])).identity.account == "alice"
            await edge.refuses(token(ttl=-1)[0], SESSION_EXPIRED)


async def test_a_token_that_passed_while_redis_was_away_is_checked_again(redis_url: str) -> None:
    good, (encoded, said) = token()[0], token()
    async with proxied(redis_url) as proxy, Edge(redis_url) as direct:
        await direct.redis.redis.set(cache.denied(said.token_id or ""), "1")
        await proxy.close()
        async with Edge(proxy.url) as edge:
            shown = [await edge.identify(good), await edge.identify(encoded)]
            for one in shown:
                with pytest.raises(PresenceError) as raised:
                    await edge.gatekeeper.check_again(one)
                assert raised.value.kind is UNAVAILABLE
            await proxy.open()
            assert (await edge.gatekeeper.check_again(shown[0])).checked
            with pytest.raises(PresenceError) as raised:
                await edge.gatekeeper.check_again(shown[1])
            assert raised.value.kind is UNAUTHORIZED


async def test_while_nobody_has_the_keys_a_token_is_not_refused_but_unavailable(redis_url: str) -> None:
    async with Edge(redis_url, keys=False) as edge:
        await edge.refuses(token()[0], UNAVAILABLE)
        assert (await edge.identify("")).identity.guest
