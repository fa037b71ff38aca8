"""A private coturn on loopback, and in the network if asked, with the rules of deploy/coturn/turnserver.conf.

Its own lines follow those of the shared file, and the last line wins. The secret is in the file only: a command line is
visible to every user of the machine.
"""

import asyncio
import random
import socket
from contextlib import closing
from pathlib import Path

from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.packages import TURNSERVER, ensure, find
from deploy.local.ports import HIGH, has_ipv6_loopback
from deploy.local.processes import Launch
from deploy.local.servers.base import Process, plain_environment
from deploy.local.servers.lan import Lan
from deploy.local.workplace import Workplace, hand_over, replace_text, system_user

RULES = REPOSITORY / "deploy" / "coturn" / "turnserver.conf"
REALM = "localhost"
RELAYS = 64  # one voice connection takes one or two
KERNELS_FIRST_PORT = 32768  # from here on the kernel gives ports to outgoing connections
TIMEOUT_SECONDS = 0.5

BINDING_REQUEST = b"\x00\x01\x00\x00\x21\x12\xa4\x42presence-stk"  # STUN: type, length, magic cookie, transaction
BINDING_SUCCESS = b"\x01\x01"


class Coturn(Process):
    """STUN and TURN over UDP and TCP. `loopback_peers`: clients of this machine may be relayed to each other.

    With `lan` clients are told of that address, and all relays are there: whoever is relayed reaches what is at it,
    such as others' relays, and nothing else of the network, nor loopback.
    """

    programs = (TURNSERVER,)
    stop_seconds = 5.0

    def __init__(
        self,
        place: Workplace,
        guardian: Guardian,
        port: int,
        secret: str,
        *,
        loopback_peers: bool = False,
        lan: Lan | None = None,
    ) -> None:
        super().__init__("coturn", place, guardian)
        self.port = port
        self.address = lan.address if lan else "127.0.0.1"
        self._lan = lan
        self._secret = secret
        self._loopback_peers = loopback_peers
        self._user = system_user("turnserver")

    @property
    def stun_uri(self) -> str:
        return f"stun:{self.address}:{self.port}"

    @property
    def turn_uris(self) -> tuple[str, str]:
        udp, tcp = (f"turn:{self.address}:{self.port}?transport={transport}" for transport in ("udp", "tcp"))
        return udp, tcp

    @property
    def configuration(self) -> Path:
        return self.folder / "turnserver.conf"

    def prepare(self) -> None:
        ensure(self.programs)
        self._user = system_user("turnserver")  # the package makes it
        hand_over(self.folder, self._user)
        replace_text(self.configuration, "\n".join([RULES.read_text(), *self._own_lines()]) + "\n")
        hand_over(self.folder, self._user)

    def launch(self) -> Launch:
        command = (str(find(TURNSERVER)), "-c", str(self.configuration))
        return Launch(command, self.folder, plain_environment(), self._user)

    async def is_ready(self) -> bool:
        return await asyncio.to_thread(answers_stun, self.port)

    def _own_lines(self) -> list[str]:
        relays = relay_ports()
        return [
            "listening-ip=127.0.0.1",
            f"listening-port={self.port}",
            *self._address_lines(),
            f"min-port={relays.start}",
            f"max-port={relays.stop - 1}",
            "relay-threads=1",
            "no-tls",
            "no-dtls",
            f"realm={REALM}",
            f"static-auth-secret={self._secret}",
            f"pidfile={self.folder / 'turnserver.pid'}",
            f"userdb={self.folder / 'turnserver.db'}",
        ]

    def _address_lines(self) -> list[str]:
        """Where relays are, and which peers they may reach: what is allowed beats the rules that deny it."""
        if self._lan:
            own = [f"listening-ip={self.address}", f"relay-ip={self.address}", f"allowed-peer-ip={self.address}"]
            return [*own, "allow-loopback-peers"] if self._lan.is_loopback else own
        lines = [f"relay-ip={address}" for address in ("127.0.0.1", *(["::1"] if has_ipv6_loopback() else []))]
        if self._loopback_peers:
            lines += ["allow-loopback-peers", "allowed-peer-ip=127.0.0.0-127.255.255.255"]
        return lines


def relay_ports() -> range:
    """UDP ports that are free now, between those that `Ports` picks and the kernel's. coturn passes over one that is
    taken later."""
    starts = range(HIGH + 1, KERNELS_FIRST_PORT - RELAYS + 1, RELAYS)
    places = [range(start, start + RELAYS) for start in random.sample(starts, len(starts))]
    return next((ports for ports in places if all(map(is_free_for_udp, ports))), places[0])


def is_free_for_udp(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers_stun(port: int) -> bool:
    """Returns whether a STUN server answers a binding request over UDP. Blocks for half a second at most."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.settimeout(TIMEOUT_SECONDS)
        try:
            probe.connect(("127.0.0.1", port))
            probe.send(BINDING_REQUEST)
            return probe.recv(2048).startswith(BINDING_SUCCESS)
        except OSError:
            return False
