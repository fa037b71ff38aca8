"""Roles that the primary gives in any space."""

from libs.common.contracts.content import permission_changed
from libs.common.db.models.content import PresencePermission
from libs.common.spaces import SpaceKey
from services.sync_worker.tables.table import Record, Shape, Table, permission_change, require_space
from services.sync_worker.tables.values import BadRow, Raw, account

PRESENCE_RANKS = {"access": 1, "moderate": 2, "admin": 3}


def _presence_permission(raw: Raw) -> Record:
    space_type, space_id, permission = str(raw["space_type"]), str(raw["space_id"]), raw.get("permission")
    require_space(space_type, space_id)
    if permission not in PRESENCE_RANKS:
        raise BadRow(f"unknown permission {str(permission)[:40]!r}")
    who = account(raw, "user_account")
    return {"space_type": space_type, "space_id": space_id, "account": who, "permission": permission}


PRESENCE_PERMISSIONS = Table(
    "presence_permissions",
    PresencePermission,
    ("space_type", "space_id", "account"),
    (
        Shape(
            "by space",
            ("space_type", "space_id", "user_account"),
            ("permission",),
            _presence_permission,
            (("space_type",), ("space_id",), ("user_account",)),
            lambda key: key,
            access=("permission",),
        ),
    ),
    watched=("permission",),
    openness=lambda row: (PRESENCE_RANKS[row["permission"]],),
    space_of=lambda key: SpaceKey(key[0], key[1]),
    events=(permission_changed,),
    told=("permission",),
    change_of=permission_change("presence_permissions"),
    optional=True,
)
