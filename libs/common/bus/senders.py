"""Says who may speak for whom on the bus.

The broker vouches for the user that sent a message (`user_id`: it refuses one that is not the connection's own). So a
service that was taken over is no edge, and one edge is not the other.
"""

from libs.common.bus.base import Caller
from libs.common.bus.topology import CALLERS
from libs.common.errors import FORBIDDEN, PresenceError
from libs.common.identity import OPERATOR

OPERATORS_EDGE = "gateway"  # the one that knows the operator token


def require_sender(sender: str | None, caller: Caller) -> None:
    """Raises `forbidden` unless the user `sender` may ask in the name of `caller`. None is a message without a user."""
    if not _may_speak_for(sender, caller):
        raise PresenceError(FORBIDDEN, "Who sent this may not speak for its caller.")


def _may_speak_for(sender: str | None, caller: Caller) -> bool:
    identity = caller.identity
    if sender not in CALLERS:
        return False
    match identity.kind:
        case "account":
            return True
        case "guest":
            return not identity.operator
        case "service" if identity.id == OPERATOR:
            return sender == OPERATORS_EDGE
        case "service":
            return identity.id == sender and not identity.operator
        case _:
            return False
