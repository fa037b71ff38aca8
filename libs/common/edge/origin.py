"""Finds the origin of a request: the client's address behind our proxy, and the pages that may send one."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from libs.common.addresses import canonical
from libs.common.settings import EdgeSettings


def client_address(peer: str, forwarded_for: str | None, trusted: Iterable[str]) -> str:
    """Returns the client's address: the last `X-Forwarded-For` entry if the peer is our proxy, else the peer."""
    claimed = None
    if forwarded_for and _is_in(peer, trusted):
        claimed = canonical(forwarded_for.rsplit(",", 1)[-1].strip())
    return claimed or canonical(peer) or peer


def _is_in(peer: str, networks: Iterable[str]) -> bool:
    address = canonical(peer)
    return address is not None and any(ip_address(address) in ip_network(network) for network in networks)


def allowed_origins(settings: EdgeSettings) -> list[str]:
    """Returns the configured origins and the public URL's own."""
    parts = urlsplit(settings.public_url)
    return list(dict.fromkeys([f"{parts.scheme}://{parts.netloc}", *settings.allowed_origins]))
