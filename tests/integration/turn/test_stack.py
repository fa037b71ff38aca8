"""In a running stack the API's credentials open the relay that the API names."""

from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.turn_probe import GRANTED, TurnProbe


def port_of(uri: str) -> int:
    """`turn:127.0.0.1:23034?transport=udp` → 23034."""
    return int(uri.partition("?")[0].rpartition(":")[2])


async def test_turn_credentials_of_the_api_open_the_relay_that_they_name(stack: Stack, rest: Rest) -> None:
    given = await rest.get("/api/turn-credentials", await rest.token("alice"))
    port = port_of(given["uris"][-1])
    with TurnProbe(port, given["username"], given["credential"]) as probe:
        assert probe.permission("127.0.0.1") == GRANTED


async def test_without_a_token_the_api_names_stun_only(stack: Stack, rest: Rest) -> None:
    given = await rest.get("/api/turn-credentials")
    assert (given["username"], given["credential"]) == (None, None)
    assert [uri.partition(":")[0] for uri in given["uris"]] == ["stun"]
