"""Which web pages may call: the one rule for CORS and for the Origin of every kind of socket.

    https://dlux.io              that origin
    https://*.ipfs.dlux.io       any one label in the place of the star, never two and never none
    http://localhost:*           any port, also the scheme's own, which browsers leave out

An Origin is compared as browsers write it (RFC 6454, 6.2): scheme, host and port, in lower case, names in ASCII, no
default port, nothing behind it. Whatever is written otherwise was made up, and is refused.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from libs.common.settings import EdgeSettings, SettingsError

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PORT = "[1-9][0-9]{0,4}"
_PATTERN = re.compile(
    rf"(?P<scheme>https?)://(?P<star>\*\.)?(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>\*|{_PORT}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
FORMS = "https://dlux.io, https://*.ipfs.dlux.io or http://localhost:*"


class AllowedOrigins:
    """The origins that pages may call from: `origin in allowed`. A request without an Origin is no page's."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises `ValueError`, which names the pattern that is none."""
        self._rules = tuple(_compiled(pattern) for pattern in patterns)

    def __contains__(self, origin: object) -> bool:
        return isinstance(origin, str) and any(rule.fullmatch(origin) for rule in self._rules)

    def cors(self, origin: str | None) -> dict[str, str]:
        """Returns the headers by which a page of an origin may read an answer (Fetch standard); none for others."""
        if origin is None or origin not in self:
            return {}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}


def allowed_origins(settings: EdgeSettings) -> AllowedOrigins:
    """Returns the configured origins and the public URL's own. Raises `SettingsError` for a pattern that is none."""
    configured = filter(None, settings.allowed_origins)  # an empty setting is a list of one empty text
    try:
        return AllowedOrigins([origin_of(settings.public_url), *configured])
    except ValueError as error:
        raise SettingsError(f"PRESENCE_ALLOWED_ORIGINS, or PRESENCE_PUBLIC_URL: {error}") from error


def origin_of(url: str) -> str:
    """Returns the origin of a URL, as a browser names it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port and str(parts.port) != _DEFAULT_PORTS.get(parts.scheme) else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _compiled(pattern: str) -> re.Pattern[str]:
    match = _PATTERN.fullmatch(pattern)
    if match is None or (match["star"] and "." not in match["host"]):  # a star below a top-level domain is everybody
        raise ValueError(f"{pattern!r} is no origin and no pattern of origins, such as {FORMS}.")
    if match["port"] == _DEFAULT_PORTS[match["scheme"]]:
        raise ValueError(f"{pattern!r} never comes from a browser: leave out the port, which is the scheme's own.")
    star = rf"{_LABEL}\." if match["star"] else ""
    port = f"(?::{_PORT})?" if match["port"] == "*" else re.escape(f":{match['port']}") if match["port"] else ""
    return re.compile(rf"{match['scheme']}://{star}{re.escape(match['host'])}{port}")
