"""An example body of each event, made of the payload that the registry declares: for documents and for tests.

What fields are called decides what they hold; a field without an example of its own holds something of its type.
"""

import types
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Registry, Webhook
from libs.common.contracts.schema.writing import dump
from libs.common.contracts.webhooks.bodies import body_of

MOMENT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
ID = "018d0c5a-7b3c-7d2e-9f10-a1b2c3d4e5f6"
WEBHOOK_ID = f"msg_{ID.replace('-', '')}_8c1f0d2b3a495867"
SPACE = ("post", "alice/my-360-photo")
SEQUENCE = 7
_BY_NAME: dict[str, Any] = {
    "action": "mute", "by": "bob", "comment_type": "comment", "content": "Hello from VR!", "deleted_by": "alice",
    "display_name": "carol", "document_id": "123", "going": 12, "guest": False, "host": "alice", "is_deleted": False,
    "is_edited": False, "message_type": "text", "moderator": "alice", "parent_comment_id": None,
    "parent_message_id": None, "position": None, "reaction": "👍", "reactions": {"👍": {"count": 1, "by": ["carol"]}},
    "reason": None, "removed": False, "resolved": False, "resolved_at": None, "resolved_by": None, "section": None,
    "seq": SEQUENCE, "space_id": SPACE[1], "space_type": SPACE[0], "subject": "dave", "subject_kind": "account",
    "subspace": "main", "thread_count": 0, "title": "Sculpture hall", "user_account": "carol",
}  # fmt: skip
_OF_PAYLOAD: dict[str, dict[str, Any]] = {
    "CommentChanged": {"action": "created"},
    "MessageDeleted": {"reason": "spam"},
    "Moderated": {"reason": "spam"},
    "DocumentChanged": {"public": True},
}
_OF_TYPE: dict[Any, Any] = {str: "text", int: 1, float: 1.0, bool: False, datetime: MOMENT, dict: {}, list: []}


def example_body(
    registry: Registry, name: str, *, webhook_id: str = WEBHOOK_ID, space: tuple[str, str] = SPACE
) -> bytes:
    """Returns what a subscriber to `name` may be sent. Raises `KeyError` for a name that nothing is bound to."""
    for event, binding in registry.bound(Webhook):
        if binding.event == name:
            payload = dump(example_of(event.payload))  # type: ignore[union-attr]
            subspace = payload.get("subspace")
            logged = LoggedEvent(ID, event.name, *space, subspace, SEQUENCE, "account:carol", MOMENT, payload, ID)
            return body_of(logged, webhook_id, binding)
    raise KeyError(name)


def example_of(payload: type) -> Any:
    """Returns an instance of a payload's dataclass."""
    hints = get_type_hints(payload, include_extras=True)
    known = {**_BY_NAME, **_OF_PAYLOAD.get(payload.__name__, {})}
    return payload(
        **{field.name: known.get(field.name, _of_type(field.name, hints[field.name])) for field in _fields(payload)}
    )


def _fields(payload: type) -> Any:
    return dataclass_fields(payload)


def _of_type(name: str, hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        return _of_type(name, get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _of_type(name, get_args(hint)[0])
    if is_dataclass(hint) and isinstance(hint, type):
        return example_of(hint)
    if hint is str and (name == "id" or name.endswith("_id")):
        return ID
    return _OF_TYPE[get_origin(hint) or hint]
