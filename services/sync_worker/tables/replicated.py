"""The replicated tables, in the order of a cycle."""

from services.sync_worker.tables.documents import DOCUMENTS, PERMISSIONS
from services.sync_worker.tables.posts import POSTS
from services.sync_worker.tables.presence_events import PRESENCE_EVENTS
from services.sync_worker.tables.presence_permissions import PRESENCE_PERMISSIONS

TABLES = (PERMISSIONS, PRESENCE_PERMISSIONS, PRESENCE_EVENTS, DOCUMENTS, POSTS)
"""Who may enter before what is to be entered: a revocation waits for no scan of a million posts."""
