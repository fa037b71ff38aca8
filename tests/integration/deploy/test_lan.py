"""`make up LAN=1`: HTTPS and TURN at the machine's address in its network, which here is another one of loopback."""

import os
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from deploy.local import cli
from deploy.local.errors import SetupError
from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.ports import free_port
from deploy.local.servers.caddy import Caddy
from deploy.local.servers.coturn import Coturn
from deploy.local.servers.lan import CERTIFICATE_PATH, Lan, invitation, lan_of, own_address
from deploy.local.stack import Stack
from deploy.local.state import UP, State
from deploy.local.workplace import Workplace
from tests.integration.turn.credentials import issued
from tests.support.listening import IPV6_LOOPBACK, listening
from tests.support.turn_probe import FORBIDDEN, GRANTED, TurnProbe
from tests.support.waiting import eventually

ADDRESS = "127.0.0.2"
SECRET = "a-secret-for-nobodys-eyes"
IN_PUBLIC = ("caddy", "coturn")


@pytest.fixture(scope="module")
def place() -> Iterator[Workplace]:
    place = Workplace(Path(tempfile.mkdtemp(prefix="presence-lan-")))
    yield place
    place.remove()


@pytest.fixture(scope="module")
def lan() -> Lan:
    return Lan(ADDRESS, free_port())


@pytest.fixture(scope="module")
async def caddy(place: Workplace, lan: Lan) -> AsyncIterator[Caddy]:
    """In front of a gateway and one replica, which say who they are."""
    guardian, ports = Guardian(), (free_port(), free_port(), free_port())

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade"):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str(request.path_qs)
            return socket
        return web.json_response({"path": request.path_qs, "scheme": request.headers["X-Forwarded-Proto"]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    for port in ports:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    server = Caddy(place, guardian, free_port(), ports, SECRET, place.root / "static", lan)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
        await runner.cleanup()
        guardian.close()


@pytest.fixture(scope="module")
async def phone(caddy: Caddy, lan: Lan) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that trusts Caddy's own CA and nobody else."""
    trusted = ssl.create_default_context(cafile=str(caddy.root_certificate))
    connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(lan.url, connector=connector) as session:

        async def is_up() -> bool:
            try:
                async with session.get("/api/spaces"):
                    return True
            except aiohttp.ClientConnectorError:
                return False

        await eventually(is_up)
        yield session


async def test_a_phone_that_trusts_the_ca_gets_pages_and_sockets(phone: aiohttp.ClientSession) -> None:
    async with phone.get("/api/spaces?limit=1") as answer:
        assert await answer.json() == {"path": "/api/spaces?limit=1", "scheme": "https"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/", "/socket.io/"):
        async with phone.ws_connect(path) as socket:
            assert await socket.receive_str(timeout=20) == "/socket.io/"


async def test_whoever_does_not_trust_it_is_not_talked_to(phone: aiohttp.ClientSession, lan: Lan) -> None:
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await stranger.get(f"{lan.url}/api/spaces")


async def test_the_root_certificate_is_for_all_and_its_key_for_nobody(
    phone: aiohttp.ClientSession, caddy: Caddy, lan: Lan
) -> None:
    async with phone.get(CERTIFICATE_PATH) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/x-x509-ca-cert"
        assert await answer.read() == caddy.root_certificate.read_bytes()
    folder = caddy.root_certificate.parent
    assert {"root.key", "intermediate.key"} <= {file.name for file in folder.iterdir()}
    for path in ("/root.key", "/root.crt/../root.key", "/root.crt%2f..%2froot.key", "/root.crt/root.key", "/ROOT.CRT"):
        async with phone.get(URL(lan.url + path, encoded=True)) as answer:
            assert b"PRIVATE" not in await answer.read(), path


async def test_the_desk_is_served_as_ever(caddy: Caddy, phone: aiohttp.ClientSession) -> None:
    async with aiohttp.ClientSession(caddy.url) as desk, desk.get("/api/spaces") as answer:
        assert (await answer.json())["scheme"] == "http"
        async with desk.get(CERTIFICATE_PATH) as other:
            assert (await other.json())["path"] == CERTIFICATE_PATH, "there is no CA to trust"


async def test_it_listens_at_that_address_and_on_loopback_and_at_no_port_besides(
    caddy: Caddy, lan: Lan, phone: aiohttp.ClientSession
) -> None:
    assert {host for host, _ in listening(caddy.child.pid)} <= {"127.0.0.1", ADDRESS, IPV6_LOOPBACK}
    assert {port for _, port in listening(caddy.child.pid)} == {caddy.port, lan.port}


@pytest.fixture
async def coturn(place: Workplace, lan: Lan) -> AsyncIterator[Coturn]:
    guardian = Guardian()
    server = Coturn(place, guardian, free_port(), SECRET, loopback_peers=True, lan=lan)
    await server.start()
    yield server
    await server.kill()
    guardian.close()


async def test_a_relay_is_given_at_that_address_and_reaches_relays_and_nothing_else(coturn: Coturn) -> None:
    assert coturn.turn_uris[0] == f"turn:{ADDRESS}:{coturn.port}?transport=udp"
    assert listening(coturn.child.pid) == {("127.0.0.1", coturn.port), (ADDRESS, coturn.port)}
    with TurnProbe(coturn.port, *issued(coturn, SECRET), address=ADDRESS) as probe:
        assert probe.permission(ADDRESS) == GRANTED
        for peer in ("127.0.0.1", "127.0.0.3", "192.168.1.1", "10.0.0.1", "169.254.169.254"):
            assert probe.permission(peer) == FORBIDDEN, peer


def test_two_clients_hear_each_other_through_it(coturn: Coturn) -> None:
    username, password = issued(coturn, SECRET)
    words = [
        "turnutils_uclient",
        "-y",
        "-c",
        "-n",
        "5",
        "-u",
        username,
        "-w",
        password,
        "-p",
        str(coturn.port),
        ADDRESS,
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "tot_send_msgs=10, tot_recv_msgs=10" in done.stdout, done.stdout + done.stderr


async def test_relays_of_a_real_network_open_no_loopback(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "stack")
    server = Coturn(place, Guardian(), free_port(), SECRET, loopback_peers=True, lan=Lan("192.168.1.7", 8443))
    lines = server._own_lines()
    assert {"relay-ip=192.168.1.7", "listening-ip=192.168.1.7", "allowed-peer-ip=192.168.1.7"} <= set(lines)
    assert not [line for line in lines if "loopback" in line or line.startswith(("relay-ip=127", "relay-ip=:"))]
    place.remove()


@pytest.mark.parametrize("lan", [Lan(ADDRESS, 8443), None])
def test_clients_are_told_of_that_address_where_it_is_served_and_only_then(tmp_path: Path, lan: Lan | None) -> None:
    stack = Stack(tmp_path / "stack", public_port=free_port(), environ={}, lan=lan)
    told = stack.settings
    assert told["PRESENCE_PUBLIC_URL"] == (lan.url if lan else stack.url)
    address = ADDRESS if lan else "127.0.0.1"
    assert told["PRESENCE_TURN_URIS"].startswith(f"turn:{address}:")
    assert told["PRESENCE_STUN_URIS"].startswith(f"stun:{address}:")
    own = {name: stack.components[name] for name in IN_PUBLIC}
    assert isinstance(own["caddy"], Caddy)
    assert own["caddy"].lan == lan
    stack.place.remove()


def test_lan_is_one_or_an_address_of_this_machine() -> None:
    assert lan_of({}) is lan_of({"PRESENCE_LAN": "0"}) is lan_of({"PRESENCE_LAN": ""}) is None
    assert lan_of({"PRESENCE_LAN": ADDRESS}) == Lan(ADDRESS, 8443)
    assert lan_of({"PRESENCE_LAN": ADDRESS, "PRESENCE_LAN_PORT": "9443"}) == Lan(ADDRESS, 9443)
    assert lan_of({"PRESENCE_LAN": "1"}) == Lan(own_address(), 8443)
    for wrong in ("yes", "192.0.2.1", "0.0.0.0", "localhost", "::1", "127.0.0.2:8443"):
        with pytest.raises(SetupError, match="LAN is"):
            lan_of({"PRESENCE_LAN": wrong})
    with pytest.raises(SetupError, match="PRESENCE_LAN_PORT"):
        lan_of({"PRESENCE_LAN": ADDRESS, "PRESENCE_LAN_PORT": "http"})


def test_the_address_is_shown_as_a_qr_code_too() -> None:
    shown = invitation("https://192.168.1.7:8443")
    assert "https://192.168.1.7:8443\n" in shown
    assert "https://192.168.1.7:8443/root.crt" in shown
    rows = [line for line in shown.splitlines() if "\u2588" in line]
    assert len(rows) > 10
    assert len({len(row) for row in rows}) == 1


def test_a_stack_that_runs_without_it_is_stopped_first() -> None:
    lan = Lan(ADDRESS, 8443)
    with pytest.raises(SetupError, match=r"not at https://127\.0\.0\.2:8443: stop it first"):
        cli.already(State(phase=UP, url="http://localhost:8080"), lan)
    serving = State(phase=UP, url="http://localhost:8080", lan_url=lan.url)
    assert "\u2588" in cli.already(serving, lan)
    assert cli.already(State(phase=UP, url="http://localhost:8080"), None).startswith("Presence is up already")


@pytest.mark.parametrize("words", [{f"LAN={ADDRESS}"}, set()])
def test_make_hands_on_what_was_said(words: set[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if "LAN" not in name}
    command = ["make", "--silent", "--eval", 'show: ; @echo "[$$PRESENCE_LAN]"', "show", *words]
    told = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout
    assert told == (f"[{ADDRESS}]\n" if words else "[]\n")
