"""Finds the address that a request comes from, behind our proxy."""

import hmac
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

from libs.common.addresses import canonical
from libs.common.settings import EdgeSettings

PROXY_HEADER = "X-Presence-Proxy"  # Caddy sets it at every request, so a client's own never comes through


def client_address(peer: str, headers: Mapping[str, str], settings: EdgeSettings) -> str:
    """Returns the client's address: the last `X-Forwarded-For` entry if our proxy sent the request, else the peer."""
    claimed = None
    if (forwarded_for := headers.get("X-Forwarded-For")) and _is_proxy(peer, headers, settings):
        claimed = canonical(forwarded_for.rsplit(",", 1)[-1].strip())
    return claimed or canonical(peer) or peer


def _is_proxy(peer: str, headers: Mapping[str, str], settings: EdgeSettings) -> bool:
    """Tells by the secret, which nobody else who reaches our port knows; only without one by the peer's network."""
    if settings.proxy_secret:
        shown = headers.get(PROXY_HEADER, "")
        return hmac.compare_digest(shown.encode(errors="surrogatepass"), settings.proxy_secret.encode())
    return _is_in(peer, settings.trusted_proxies)


def _is_in(peer: str, networks: Iterable[str]) -> bool:
    address = canonical(peer)
    return address is not None and any(ip_address(address) in ip_network(network) for network in networks)
