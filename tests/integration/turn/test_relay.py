"""Credentials of GET /api/turn-credentials open the relay until they expire; nothing else does."""

import asyncio
import contextlib
import subprocess
import time

import pytest

from deploy.local.servers.coturn import Coturn
from tests.integration.turn.conftest import SECRET
from tests.integration.turn.credentials import ALICE, guest, issued, turn
from tests.support.turn_probe import QUOTA_REACHED, UNAUTHORIZED, Refused, TurnProbe

MESSAGES = 20
TIMEOUT_SECONDS = 60


def uclient(server: Coturn, username: str, password: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """coturn's own client: two clients, each with a relay address, send each other messages through both relays."""
    words = ["turnutils_uclient", "-y", "-c", "-n", str(MESSAGES), *options]
    words += ["-u", username, "-w", password, "-p", str(server.port), "127.0.0.1"]
    return subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)


async def test_two_clients_hear_each_other_through_the_relay_over_udp_and_tcp(local_coturn: Coturn) -> None:
    credentials = issued(local_coturn, SECRET)
    over_udp = asyncio.to_thread(uclient, local_coturn, *credentials)
    over_tcp = asyncio.to_thread(uclient, local_coturn, *credentials, "-t")
    for done in await asyncio.gather(over_udp, over_tcp):
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"tot_send_msgs={2 * MESSAGES}, tot_recv_msgs={2 * MESSAGES}" in done.stdout
        assert "Total lost packets 0 " in done.stdout


def test_the_issued_addresses_are_those_that_coturn_listens_on(local_coturn: Coturn) -> None:
    port = local_coturn.port
    assert turn(local_coturn, SECRET).issue(ALICE).uris == [
        f"stun:127.0.0.1:{port}",
        f"turn:127.0.0.1:{port}?transport=udp",
        f"turn:127.0.0.1:{port}?transport=tcp",
    ]


def refusal(server: Coturn, username: str, password: str) -> int:
    with pytest.raises(Refused) as caught, TurnProbe(server.port, username, password):
        pass
    return caught.value.code


def test_expired_credentials_are_refused(production_coturn: Coturn) -> None:
    assert refusal(production_coturn, *issued(production_coturn, SECRET, seconds=-60)) == UNAUTHORIZED


def test_credentials_made_with_another_secret_are_refused(production_coturn: Coturn) -> None:
    assert refusal(production_coturn, *issued(production_coturn, "another secret")) == UNAUTHORIZED


def test_credentials_cannot_be_given_more_time_or_another_name(production_coturn: Coturn) -> None:
    username, password = issued(production_coturn, SECRET)
    later = f"{int(time.time()) + 86_400}:alice"
    another = username.replace("alice", "mallory")
    for changed in (later, another, "alice", ""):
        assert refusal(production_coturn, changed, password) == UNAUTHORIZED


def test_guests_of_one_address_take_no_more_relays_than_one_name_has(small_coturn: Coturn) -> None:
    with contextlib.ExitStack() as relays:
        for number in (1, 2):
            credentials = issued(small_coturn, SECRET, caller=guest(number, "203.0.113.9"))
            relays.enter_context(TurnProbe(small_coturn.port, *credentials))
        assert refusal(small_coturn, *issued(small_coturn, SECRET, caller=guest(3, "203.0.113.9"))) == QUOTA_REACHED
        relays.enter_context(
            TurnProbe(small_coturn.port, *issued(small_coturn, SECRET, caller=guest(4, "198.51.100.7")))
        )
        relays.enter_context(TurnProbe(small_coturn.port, *issued(small_coturn, SECRET)))


@pytest.mark.parametrize(("secret", "seconds"), [(SECRET, -60), ("another secret", 3600)], ids=["expired", "foreign"])
def test_coturns_own_client_relays_nothing_with_wrong_credentials(
    local_coturn: Coturn, secret: str, seconds: int
) -> None:
    done = uclient(local_coturn, *issued(local_coturn, secret, seconds=seconds))
    assert done.returncode != 0
    assert "Cannot complete Allocation" in done.stdout
    assert "tot_recv_msgs" not in done.stdout
