"""This machine's address in its own network, where `make up LAN=1` serves phones and headsets.

Browsers give a microphone and WebXR to pages that came by HTTPS only, or from their own machine: so Caddy serves that
address by HTTPS, with certificates of a CA of its own, and coturn relays there. Without LAN nothing listens on it.
"""

import io
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from deploy.local.errors import SetupError

SETTING = "PRESENCE_LAN"  # 1, or the address
PORT_SETTING, DEFAULT_PORT = "PRESENCE_LAN_PORT", 8443
CERTIFICATE_PATH = "/root.crt"  # of the CA; deploy/caddy/lan.Caddyfile serves it
_ELSEWHERE = ("192.0.2.1", 9)  # an address that nobody has (RFC 5737): asking for the way there sends nothing


@dataclass(frozen=True, slots=True)
class Lan:
    """An IPv4 address of this machine, and the port of HTTPS on it."""

    address: str
    port: int

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Returns whether it is no network at all, as in tests."""
        return IPv4Address(self.address).is_loopback


def lan_of(environ: Mapping[str, str]) -> Lan | None:
    """Returns where the network is served, None where it is not asked for. Raises SetupError."""
    given = environ.get(SETTING, "")
    if given in ("", "0"):
        return None
    address = own_address() if given == "1" else given
    _require_own(address)
    port = environ.get(PORT_SETTING) or str(DEFAULT_PORT)
    if not (port.isdigit() and 0 < int(port) < 65536):
        raise SetupError(f"{PORT_SETTING} is {port!r}: it must be a port number, 1 to 65535")
    return Lan(address, int(port))


def own_address() -> str:
    """Returns the address that this machine shows to others. Raises SetupError."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError as error:
            raise SetupError("This machine is in no network: say its address, LAN=192.168.1.7 make up") from error
        return str(probe.getsockname()[0])


def _require_own(address: str) -> None:
    try:
        is_any = IPv4Address(address).is_unspecified
    except AddressValueError as error:
        raise SetupError(f"LAN is {address!r}: it must be 1, or an IPv4 address of this machine") from error
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise SetupError(f"LAN is {address}, which is no address of this machine") from error
    if is_any:
        raise SetupError("LAN is 0.0.0.0: it must be one address, which phones can open")


def invitation(url: str) -> str:
    """Returns the lines that bring a phone there: the address, as a QR code too, and how it comes to trust us."""
    import segno  # only who invites needs it

    code = io.StringIO()
    segno.make(url, micro=False).terminal(code, compact=True, border=2)
    return f"""
  in the network  {url}
                  (a phone warns once; to be trusted: {url}{CERTIFICATE_PATH}, see docs/deployment.md)

{code.getvalue()}"""
