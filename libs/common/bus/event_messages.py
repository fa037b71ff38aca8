"""Events as messages of RabbitMQ: what travels beside the body, and what is kept for a version that can read it."""

import time
from collections.abc import Sequence
from typing import Final

import aio_pika
from aio_pika.abc import AbstractMessage, HeadersType

from libs.common.bus.codec import WIRE_VERSION, decode_events, encode_events
from libs.common.bus.topology import KEPT_SECONDS
from libs.common.contracts.log import LoggedEvent

WIRE: Final = "presence-wire"  # a header: the wire version of the body
KEPT_SINCE: Final = "presence-kept-since"  # a header, in seconds of Unix time: when it was first found unreadable


def message_of(events: Sequence[LoggedEvent], user: str) -> aio_pika.Message:
    """Returns a message of events that `user` publishes."""
    return _message(encode_events(events), {WIRE: WIRE_VERSION}, events[0].id, user)


def events_of(message: AbstractMessage) -> list[LoggedEvent]:
    """Raises `UnknownShape`."""
    return decode_events(message.body, _number(message, WIRE, WIRE_VERSION))


def for_later(message: AbstractMessage, user: str, seconds: float) -> aio_pika.Message | None:
    """Returns a copy that expires after `seconds`; None for one that was kept long enough."""
    since = _number(message, KEPT_SINCE, round(time.time()))
    if time.time() - since > KEPT_SECONDS:
        return None
    kept = _message(message.body, {**message.headers, KEPT_SINCE: since}, message.message_id, user)
    kept.expiration = seconds
    return kept


def for_again(message: AbstractMessage, user: str) -> aio_pika.Message:
    """Returns a copy without a past."""
    return _message(message.body, {WIRE: _number(message, WIRE, WIRE_VERSION)}, message.message_id, user)


def _message(body: bytes, headers: HeadersType, message_id: str | None, user: str) -> aio_pika.Message:
    return aio_pika.Message(
        body,
        headers=headers,
        message_id=message_id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        user_id=user,
    )


def _number(message: AbstractMessage, header: str, default: int) -> int:
    value = message.headers.get(header)
    return value if isinstance(value, int) else default
