"""Every error a client can see, on one screen.

`code` is a promise to clients, `status` its HTTP form, and `temporary` says that the same
request is worth a retry. Services raise `PresenceError`; the bus carries it, the edges render it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the catalogue: the stable code, the default text, the HTTP status."""

    code: str
    text: str
    status: int
    temporary: bool = False


INVALID_INPUT = ErrorCode("invalid_input", "The request has invalid fields.", 400)
UNAUTHORIZED = ErrorCode("unauthorized", "A valid token is needed.", 401)
SESSION_EXPIRED = ErrorCode("session_expired", "The token has run out; log in again.", 401)
FORBIDDEN = ErrorCode("forbidden", "This identity may not do that here.", 403)
BANNED = ErrorCode("banned", "This identity is banned from the space.", 403)
MUTED = ErrorCode("muted", "This identity is muted in the space.", 403)
NOT_FOUND = ErrorCode("not_found", "There is nothing here that this identity may see.", 404)
METHOD_NOT_ALLOWED = ErrorCode("method_not_allowed", "This path takes other methods.", 405)
CONFLICT = ErrorCode("conflict", "The request contradicts the present state.", 409)
TOO_LARGE = ErrorCode("too_large", "The body is larger than allowed.", 413)
RATE_LIMITED = ErrorCode("rate_limited", "Too many requests; slow down.", 429, temporary=True)
SLOW_MODE = ErrorCode("slow_mode", "This space is in slow mode.", 429, temporary=True)
SPACE_FULL = ErrorCode("space_full", "The space is full.", 429, temporary=True)
INTERNAL = ErrorCode("internal", "Something went wrong on our side.", 500)
UNAVAILABLE = ErrorCode("unavailable", "A part of the service is away; try again.", 503, temporary=True)

# Reasons for a disconnect; sockets only, so the status is never rendered.
TOO_SLOW = ErrorCode("too_slow", "The connection could not take what was sent to it.", 408, temporary=True)
KICKED = ErrorCode("kicked", "A moderator removed this identity from the space.", 403)
DRAINING = ErrorCode("draining", "This server is restarting; connect again.", 503, temporary=True)

CATALOGUE: Mapping[str, ErrorCode] = {row.code: row for row in list(globals().values()) if isinstance(row, ErrorCode)}


RETRY_SECONDS = 5  # where a temporary error does not say itself, in `details.retry_after`


@dataclass(eq=False)
class PresenceError(Exception):
    """An expected failure. `details` must be JSON and free of anything the caller may not know."""

    kind: ErrorCode
    text: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.text = self.text or self.kind.text
        super().__init__(f"{self.kind.code}: {self.text}")

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the same request is worth another try; None for what will not change by itself."""
        return int(self.details.get("retry_after", RETRY_SECONDS)) if self.kind.temporary else None

    def to_wire(self) -> dict[str, Any]:
        """The body that REST, socket acks and the bus share: `{error, code, details?}`."""
        body: dict[str, Any] = {"error": self.text, "code": self.kind.code}
        return {**body, "details": dict(self.details)} if self.details else body

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> "PresenceError":
        """The inverse of `to_wire`; a code from a newer version becomes `internal`."""
        return cls(CATALOGUE.get(body["code"], INTERNAL), body["error"], body.get("details") or {})
