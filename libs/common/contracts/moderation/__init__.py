"""Moderation by a space's owner and moderators: settings, roles, bans, mutes and kicks, all kept in an audit trail.

The events here change who may be in a space and what people may do there: each raises the space's access epoch, and
realtime asks `spaces.review` about its members (docs/spaces.md).
"""

from libs.common.contracts import events
from libs.common.contracts.moderation.roles import (
    AccountRole,
    GetRole,
    GivenRole,
    ListRoles,
    RemoveRole,
    RoleChanged,
    Roles,
    SetRole,
    get_role,
    list_roles,
    remove_role,
    role_changed,
    set_role,
)
from libs.common.contracts.moderation.sanctions import (
    AuditEntry,
    AuditTrail,
    ImposeSanction,
    Kick,
    Kicked,
    LiftSanction,
    ListAudit,
    ListSanctions,
    Moderated,
    Sanction,
    Sanctions,
    ban,
    kick,
    kicked,
    list_audit,
    list_bans,
    moderated,
    mute,
    unban,
    unmute,
)
from libs.common.contracts.moderation.settings import (
    AUDIO_MODES,
    MAX_SETTINGS_BYTES,
    MAX_SLOW_MODE,
    MOST_METRES,
    FreeChannel,
    SpaceSettings,
    SpaceUpdated,
    UpdateSettings,
    settings_changed,
    update_settings,
)
from libs.common.contracts.spaces import leave_requested

CHANGES_ACCESS = frozenset(
    {moderated.name, settings_changed.name, role_changed.name, leave_requested.name, *events.CHANGES_ACCESS}
)
"""Events after which somebody may have to leave: each raises the space's access epoch."""

RECORDS = (
    update_settings, list_roles, get_role, set_role, remove_role, list_bans, ban, unban, mute, unmute, kick, list_audit,
    moderated, settings_changed, role_changed, kicked,
)  # fmt: skip
__all__ = [
    "AUDIO_MODES", "CHANGES_ACCESS", "MAX_SETTINGS_BYTES", "MAX_SLOW_MODE", "MOST_METRES", "RECORDS", "AccountRole",
    "AuditEntry", "AuditTrail", "FreeChannel", "GetRole", "GivenRole", "ImposeSanction", "Kick", "Kicked",
    "LiftSanction", "ListAudit", "ListRoles", "ListSanctions", "Moderated", "RemoveRole", "RoleChanged", "Roles",
    "Sanction", "Sanctions", "SetRole", "SpaceSettings", "SpaceUpdated", "UpdateSettings", "ban", "get_role",
    "kick", "list_audit", "list_bans", "list_roles", "moderated", "mute", "remove_role", "role_changed", "set_role",
    "settings_changed", "unban", "unmute", "update_settings",
]  # fmt: skip
