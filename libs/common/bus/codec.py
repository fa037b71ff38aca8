"""How calls, answers and events look as bytes; and how a handler is run and its outcome told.

Shared by both buses, so that a payload that does not survive the wire fails on either.

Two versions run beside each other whenever one is replaced. What a version adds, the others ignore or leave to whoever
knows it; `WIRE_VERSION` is raised by a change that those who know the version before would misread.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, cast

import msgspec
import structlog

from libs.common.bus.base import BusUnavailable, Caller, ForAll, Handler, Written
from libs.common.bus.senders import require_sender
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Operation
from libs.common.contracts.schema import load
from libs.common.contracts.schema.writing import dump, encode
from libs.common.errors import INTERNAL, UNAVAILABLE, PresenceError

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_events: Callable[[bytes], list[LoggedEvent] | LoggedEvent] = msgspec.json.Decoder(
    Annotated[list[LoggedEvent], msgspec.Meta(min_length=1)] | LoggedEvent
).decode


class _Answer(msgspec.Struct):
    """A reply, which is not read here, or what kept the service from one."""

    reply: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    for_all: bool = False
    error: dict[str, Any] | None = None
    elsewhere: bool = False


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
WIRE_VERSION: Final = 1
_ELSEWHERE = _encode({"error": PresenceError(UNAVAILABLE).to_wire(), "elsewhere": True})


class AskAgain(BusUnavailable):
    """The process that took the call does not know it; another one of its service may."""


class UnknownShape(Exception):
    """Events that this version cannot read. Another one can, or will be able to."""


def encode_call(operation: Operation[Any, Any], request: Any, caller: Caller) -> bytes:
    call = {"operation": operation.name, "caller": caller.to_wire(), "request": dump(request)}
    return _encode({"wire": WIRE_VERSION, **call})


def reply_of(operation: Operation[Any, Any], body: bytes) -> Written:
    """Returns the reply as the service wrote it.

    Raises the `PresenceError` the service answered with, `AskAgain`, or `BusUnavailable` for what is no answer.
    """
    try:
        answer = _decode_answer(body)
    except msgspec.DecodeError as error:
        raise _unreadable(operation, str(error)) from error
    if answer.elsewhere:
        raise AskAgain(f"No process of {operation.service} that is up knows {operation.name}.")
    if answer.error is not None:
        raise PresenceError.from_wire(answer.error)
    if answer.reply is msgspec.UNSET:
        raise _unreadable(operation, "neither a reply nor an error")
    return Written(bytes(answer.reply), answer.for_all)


def read_reply[Reply](operation: Operation[Any, Reply], reply: Written) -> Reply:
    """Raises `BusUnavailable` for a reply of another version that cannot be read."""
    try:
        return cast("Reply", _decoder(operation.reply).decode(reply.json))
    except msgspec.DecodeError as error:
        raise _unreadable(operation, str(error)) from error


def _decoder(reply: type) -> msgspec.json.Decoder[Any]:
    """Returns what reads replies of a type, made once."""
    if reply not in _decoders:
        _decoders[reply] = msgspec.json.Decoder(reply)
    return _decoders[reply]


def _unreadable(operation: Operation[Any, Any], problem: str) -> BusUnavailable:
    _log.error("unreadable reply", operation=operation.name, error=problem)
    return BusUnavailable(f"{operation.service} answered in another version's words.")


def encode_events(events: Sequence[LoggedEvent]) -> bytes:
    return _encode(events)


def decode_events(body: bytes, wire_version: int) -> list[LoggedEvent]:
    """Returns the events, or the one of a version that sent each alone. Raises `UnknownShape`."""
    if wire_version > WIRE_VERSION:
        raise UnknownShape(f"wire version {wire_version}; this one reads up to {WIRE_VERSION}")
    try:
        events = _decode_events(body)
    except msgspec.DecodeError as error:
        raise UnknownShape(str(error)) from error
    return events if isinstance(events, list) else [events]


async def answer_call(
    handlers: dict[str, tuple[Operation[Any, Any], Handler[Any, Any]]], body: bytes, sender: str | None
) -> bytes:
    """Run the handler a call names; its reply or its error, encoded. Never raises but for cancellation.

    `sender` is the user for whom the broker vouches.
    """
    try:
        call = _decode(body)
        if call.get("wire", WIRE_VERSION) > WIRE_VERSION:
            raise KeyError(f"wire version {call['wire']}")
        operation, handler = handlers[call["operation"]]
        caller = Caller.from_wire(call["caller"])
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError) as error:
        _log.warning("call left to another version", error=repr(error))
        return _ELSEWHERE
    with structlog.contextvars.bound_contextvars(request_id=caller.request_id, operation=operation.name):
        try:
            require_sender(sender, caller)
        except PresenceError as error:
            _log.error("call refused", sender=sender, identity=caller.identity.key)
            return _encode({"error": error.to_wire()})
        return await _outcome(operation, handler, caller, call["request"])


async def _outcome(operation: Operation[Any, Any], handler: Handler[Any, Any], caller: Caller, request: Any) -> bytes:
    try:
        reply = await handler(caller, load(operation.request, request))
        if isinstance(reply, ForAll):
            return b'{"for_all":true,"reply":' + encode(reply.reply) + b"}"
        return b'{"reply":' + encode(reply) + b"}"
    except PresenceError as error:
        return _encode({"error": error.to_wire()})
    except Exception:
        _log.exception("handler failed")
        return _encode({"error": PresenceError(INTERNAL).to_wire()})
