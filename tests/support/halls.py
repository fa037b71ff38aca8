"""Events that the tests meet in: open to all, with their doors open, held by nobody who appears in a test.

Every migrated database of a run has them (`servers.py`). A test that makes events of its own uses the product's routes.
"""

import ast
import itertools
import re
from functools import cache
from pathlib import Path

import asyncpg

HOST = "hallkeeper"
TESTS = Path(__file__).parents[1]
WHOLE_STACK = ("e2e", "faults", "security")
_ID = re.compile("[a-z][a-z0-9-]{1,40}")
NAMES = """
wallets plain-token-query plain-token-header plain-token-join-space
guestless made-up auth-gone batches costumes- frozen grace-False grace-True hostile lives-1 lives-2
lives-3 live-accounts-only rave live-admission live-ban live-guest live-kick live-logout
live-lost-settings live-lost-banned live-lost-kicked live-race-0 live-race-4 live-race-12
live-other-token rolling redis-away with-voice another bench late-comer batches
draining game hoard postgres-gone spawning-aside two-versions flooded admitted another-space archive
bad-signals binary-polling binary-upgrade binary-websocket broker-restart bystander casino chat-killed claims
compact costumes-pose-batch costumes-pose-compact crowd cursors dancing deleted early- replicas
elsewhere evening expiring first hall idempotent in-vain keyless-polling keyless-polling-websocket
keyless-websocket killed-polling killed-upgrade killed-websocket late lenient long-log no-grace other
other-namespace nobody-was-here packets party plain plain-gone plain-killed plain-refused real-clients-polling
real-clients-websocket real-clients-upgrade realtime-killed recovery-restarts redis-full redis-gone rejoin removals
restarted restored retried revolving-door silent slow small-talk snapshots spawned spawning square
library-meets library-numbers library-things library-hands library-holder library-places
library-leaver library-muted library-reload library-twice library-unanswered
library-screens library-silent library-scene library-vue library-vue-pages
library-lost library-polling library-tokens library-rights library-tabs
library-relay-killed library-voice-False library-voice-True library-voice-killed
stages state-machines stays third upgraded voice voices wire with-token
"""
NUMBERED = {
    "hall": 300,
    "together": 600,
    "apart": 600,
    "model": 200,
    "round": 20,
    "evening": 210,
    "recovery": 400,
}
_unused = itertools.count()


def every() -> list[str]:
    """Returns the ids of all halls; of `NUMBERED`, `hall-0` and so on."""
    numbered = (f"{name}-{n}" for name, count in NUMBERED.items() for n in range(count))
    return sorted({*NAMES.split(), *numbered, *_named()})


@cache
def _named() -> frozenset[str]:
    """Returns what tests of the whole stack name that could be an event's id: those that are meant are among it."""
    files = (file for folder in WHOLE_STACK for file in (TESTS / folder).rglob("*.py"))
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return frozenset(text for text in texts if _ID.fullmatch(text))


def fresh() -> str:
    """Returns the id of a hall in which no other test meets."""
    return f"hall-{next(_unused)}"


async def open_halls(database_url: str, names: list[str]) -> None:
    """Makes events of these ids, now and for good; those that exist stay."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO scheduled_events (id, host, title, description, space_type, space_id, starts_at, ends_at,"
            " doors_at, closes_at, access, reminded_at) SELECT name, $2, name, '', 'event', name, '2024-01-01Z',"
            " '2999-01-01Z', '2024-01-01Z', '2999-01-01Z', 'open', '2024-01-01Z' FROM unnest($1::text[]) AS name"
            " ON CONFLICT DO NOTHING",
            names,
            HOST,
        )
        await connection.execute("INSERT INTO communities VALUES ('hive-1', 'Halls', '') ON CONFLICT DO NOTHING")
    finally:
        await connection.close()
