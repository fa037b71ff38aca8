"""Sends what is signed with the secrets of the subscription that it is for."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import structlog

from libs.common.db.sealing import SealBroken, Sealer
from services.webhook_dispatcher import signing
from services.webhook_dispatcher.sender import Answer, Sender

_log = structlog.get_logger(__name__)
UNREADABLE = "The secret could not be read; an operator has to look into it."


class Recipient(signing.Sealed, Protocol):
    """What is needed of a subscription to send to it: columns of its row."""

    @property
    def webhook_url(self) -> str: ...


class SignedSender:
    """`post` for any subscription."""

    def __init__(self, sender: Sender, sealer: Sealer) -> None:
        self._sender = sender
        self._sealer = sealer

    async def post(
        self,
        recipient: Recipient,
        subscription_id: str,
        webhook_id: str,
        body: bytes,
        moment: datetime,
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends a body, signed at a moment, with `more` headers; returns the result. No failure is an exception."""
        try:
            keys = signing.open_keys(self._sealer, subscription_id, recipient, moment)
        except SealBroken as error:
            _log.error("webhook secret cannot be opened", error=str(error))
            return Answer(None, UNREADABLE)
        headers = signing.headers(keys.secrets, webhook_id, body, moment, keys.signing)
        return await self._sender.post(recipient.webhook_url, body, {**headers, **(more or {})})
