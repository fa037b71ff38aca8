"""The wire. `default_registry()` is every record the product has."""

from libs.common.contracts import (
    analytics,
    auth,
    chat,
    content,
    documents,
    events,
    log,
    moderation,
    notifications,
    presence,
    spaces,
    things,
    voice,
    webhooks,
)
from libs.common.contracts.registry import Registry


def default_registry() -> Registry:
    """All families, in the order a reader meets them."""
    families = (
        auth, spaces, events, moderation, presence, things, chat, notifications, documents, voice, webhooks, content,
        analytics, log,
    )  # fmt: skip
    return Registry(record for family in families for record in family.RECORDS)
