"""Asks an endpoint whether it wants what a subscription would send it: one signed POST with a challenge."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from libs.common.contracts.webhooks.ping import CHALLENGE_HEADER, new_challenge, ping_body, says_yes
from libs.common.db.sealing import SealBroken, Sealer
from services.webhook_dispatcher import signing
from services.webhook_dispatcher.retry_schedule import GONE, asked_to_wait, jitter
from services.webhook_dispatcher.sender import Answer, Sender

_log = structlog.get_logger(__name__)

# Pauses before the second ping, the third, ...; after the last it is given up, a day after it was begun.
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=7),
    timedelta(hours=14),
)
NOT_MEANT = f"HTTP 2xx, but neither the challenge in the body nor {CHALLENGE_HEADER}."


@dataclass(frozen=True, slots=True)
class Asked:
    """The endpoint that is asked, and what signs. `pings` counts those that it did not answer."""

    id: str
    created_by: str
    webhook_url: str
    space_type: str
    space_id: str
    secret_sealed: bytes
    previous_secret_sealed: bytes | None
    previous_secret_until: datetime | None
    pings: int


@dataclass(frozen=True, slots=True)
class Pinged:
    """What came back; `error` is None where the endpoint said yes."""

    webhook_id: str
    answer: Answer
    error: str | None


async def ping(sender: Sender, sealer: Sealer, asked: Asked, moment: datetime) -> Pinged:
    """Sends one ping, and returns what became of it. A failure of the endpoint is no exception."""
    webhook_id, challenge = f"msg_ping_{uuid4().hex}", new_challenge()
    body = ping_body(webhook_id, (asked.space_type, asked.space_id), moment, challenge)
    try:
        keys = signing.open_keys(
            sealer, asked.id, asked.secret_sealed, asked.previous_secret_sealed, asked.previous_secret_until, moment
        )
    except SealBroken as error:
        _log.error("webhook secret cannot be opened", error=str(error))
        answer = Answer(None, signing.UNREADABLE)
        return Pinged(webhook_id, answer, answer.error)
    headers = signing.headers(keys, webhook_id, body, moment) | {CHALLENGE_HEADER: challenge}
    answer = await sender.post(asked.webhook_url, body, headers)
    if answer.delivered and not says_yes(challenge, answer.challenge, answer.excerpt):
        return Pinged(webhook_id, answer, NOT_MEANT)
    return Pinged(webhook_id, answer, answer.error)


def next_ping(answer: Answer, pings: int, moment: datetime) -> datetime | None:
    """Returns when an endpoint that did not say yes is asked again after so many pings; None: it is given up."""
    if answer.status_code == GONE or pings > len(PAUSES):
        return None
    return moment + max(PAUSES[pings - 1] * jitter(), asked_to_wait(answer, moment))
