"""How calls, answers and events look as bytes; and how a handler is run and its outcome told.

Shared by both buses, so that a payload that does not survive the wire fails on either.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import structlog

from libs.common.bus.base import Caller, Handler
from libs.common.bus.senders import require_sender
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Operation
from libs.common.contracts.schema import dump, load
from libs.common.errors import INTERNAL, PresenceError

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_events: Callable[[bytes], list[LoggedEvent]] = msgspec.json.Decoder(
    Annotated[list[LoggedEvent], msgspec.Meta(min_length=1)]
).decode


def encode_call(operation: Operation[Any, Any], request: Any, caller: Caller) -> bytes:
    return _encode({"operation": operation.name, "caller": caller.to_wire(), "request": dump(request)})


def decode_answer[Reply](operation: Operation[Any, Reply], body: bytes) -> Reply:
    """The reply; raises the `PresenceError` the service answered with."""
    answer = _decode(body)
    if "error" in answer:
        raise PresenceError.from_wire(answer["error"])
    return load(operation.reply, answer["reply"])


def encode_events(events: Sequence[LoggedEvent]) -> bytes:
    return _encode(events)


def decode_events(body: bytes) -> list[LoggedEvent]:
    """Raises `msgspec.DecodeError` for what are no events."""
    return _decode_events(body)


async def answer_call(
    handlers: dict[str, tuple[Operation[Any, Any], Handler[Any, Any]]], body: bytes, sender: str | None
) -> bytes:
    """Run the handler a call names; its reply or its error, encoded. Never raises but for cancellation.

    `sender` is the user for whom the broker vouches.
    """
    try:
        call = _decode(body)
        operation, handler = handlers[call["operation"]]
        caller = Caller.from_wire(call["caller"])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        _log.warning("unreadable call", error=repr(error))
        return _encode({"error": PresenceError(INTERNAL, "The call could not be read.").to_wire()})
    with structlog.contextvars.bound_contextvars(request_id=caller.request_id, operation=operation.name):
        try:
            require_sender(sender, caller)
        except PresenceError as error:
            _log.error("call refused", sender=sender, identity=caller.identity.key)
            return _encode({"error": error.to_wire()})
        return _encode(await _outcome(operation, handler, caller, call["request"]))


async def _outcome(
    operation: Operation[Any, Any], handler: Handler[Any, Any], caller: Caller, request: Any
) -> dict[str, Any]:
    try:
        return {"reply": dump(await handler(caller, load(operation.request, request)))}
    except PresenceError as error:
        return {"error": error.to_wire()}
    except Exception:
        _log.exception("handler failed")
        return {"error": PresenceError(INTERNAL).to_wire()}
