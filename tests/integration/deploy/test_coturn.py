"""coturn runs on loopback only, keeps its secret to itself, and is left out where a TURN server is given."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.guardian import Guardian, group_exists
from deploy.local.ports import free_port
from deploy.local.servers.coturn import Coturn, answers_stun, is_free_for_udp, relay_ports
from deploy.local.stack import Stack
from deploy.local.workplace import Workplace
from tests.support.listening import listening

SECRET = "a-secret-for-nobodys-eyes"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    place = Workplace(tmp_path / "stack")
    yield place
    place.remove()


@pytest.fixture
async def coturn(place: Workplace) -> AsyncIterator[Coturn]:
    guardian = Guardian()
    server = Coturn(place, guardian, free_port(), SECRET)
    yield server
    await server.kill()
    guardian.close()


async def test_coturn_answers_until_it_is_stopped_or_killed_and_starts_again(coturn: Coturn) -> None:
    for end in (coturn.stop, coturn.kill):
        await coturn.start()
        group = coturn.child.pid
        assert group is not None
        assert answers_stun(coturn.port)
        await end()
        assert not answers_stun(coturn.port)
        assert not group_exists(group)


async def test_the_secret_is_in_a_private_file_and_neither_on_the_command_line_nor_in_the_log(coturn: Coturn) -> None:
    await coturn.start()
    assert SECRET in coturn.configuration.read_text()
    assert coturn.configuration.stat().st_mode & 0o077 == 0
    process = Path(f"/proc/{coturn.child.pid}")
    assert SECRET not in (process / "cmdline").read_text() + (process / "environ").read_text()
    await coturn.stop()
    assert "Default realm: localhost" in coturn.child.log.read_text()
    assert SECRET not in coturn.child.log.read_text()


async def test_coturn_listens_on_loopback_only_and_its_files_stay_in_its_folder(coturn: Coturn) -> None:
    await coturn.start()
    assert listening(coturn.child.pid) == {("127.0.0.1", coturn.port)}
    assert {file.name for file in coturn.folder.iterdir()} == {"turnserver.conf", "turnserver.db", "turnserver.pid"}


def test_relay_ports_are_free_ones_below_the_kernels() -> None:
    ports = relay_ports()
    assert len(ports) == 64
    assert all(map(is_free_for_udp, ports))
    assert 32000 <= ports.start < ports.stop <= 32768


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="presence-coturn-"))
    yield folder
    Workplace(folder).remove()


def test_the_stack_tells_its_services_where_coturn_is_and_the_secret(folder: Path) -> None:
    stack = Stack(folder, environ={})
    coturn = stack.components["coturn"]
    assert isinstance(coturn, Coturn)
    assert stack.settings["PRESENCE_STUN_URIS"] == f"stun:127.0.0.1:{coturn.port}"
    assert stack.settings["PRESENCE_TURN_URIS"].split(",") == list(coturn.turn_uris)
    coturn.prepare()
    assert f"static-auth-secret={stack.settings['TURN_SECRET']}\n" in coturn.configuration.read_text()


def test_a_given_secret_is_coturns_too(folder: Path) -> None:
    stack = Stack(folder, environ={"TURN_SECRET": "given"})
    coturn = stack.components["coturn"]
    assert isinstance(coturn, Coturn)
    coturn.prepare()
    assert "static-auth-secret=given\n" in coturn.configuration.read_text()


def test_with_a_given_turn_server_there_is_no_coturn(folder: Path) -> None:
    given = {"PRESENCE_TURN_URIS": "turn:turn.example.com:3478", "TURN_SECRET": "theirs"}
    stack = Stack(folder, environ=given)
    assert "coturn" not in stack.components
    assert stack.settings.items() >= given.items()
    assert "PRESENCE_STUN_URIS" not in stack.settings
