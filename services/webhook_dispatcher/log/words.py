"""What is left of a body whose words were taken back after it was planned."""

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.registry import Registry
from libs.common.contracts.webhooks.bodies import body_of, webhooks_of
from libs.common.db import event_log
from libs.common.db.redaction import words_are_gone


async def body_now(
    connection: AsyncConnection, registry: Registry, event_id: str, webhook_id: str, name: str
) -> bytes | None:
    """Returns the body without the words of a message or comment that was deleted; None where nothing was."""
    event = (await event_log.read_subjects(connection, {event_id})).get(event_id)
    binding = webhooks_of(registry, event.name).get(name) if event else None
    if event is None or binding is None or not words_are_gone(event.payload):
        return None
    return body_of(event, webhook_id, binding)
