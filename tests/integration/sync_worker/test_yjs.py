"""What people wrote together in the users' editor is read as text; a state that cannot be read costs nothing else."""

import asyncio
import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from services.sync_worker.replication.cycle import Outcome
from services.sync_worker.yjs import reader
from services.sync_worker.yjs.reader import NotTried, YjsReader
from tests.integration.sync_worker.world import DOCUMENTS_BY_NAME, POSTS, World

WRITER = Path("tests/support/yjs_states.mjs")
CONTENT = "SELECT content FROM collaboration_documents ORDER BY space_id"
WRITE = """INSERT INTO collaboration_documents (owner, permlink, document_name, document_data)
           VALUES ('bob', $1, $1, $2) ON CONFLICT (owner, permlink)
           DO UPDATE SET document_data = excluded.document_data"""


@pytest.fixture(scope="module")
async def states() -> dict[str, str]:
    """Name → a state that Yjs made."""
    process = await asyncio.create_subprocess_exec("node", str(WRITER), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    made: dict[str, str] = json.loads(output)
    return made


@pytest.fixture
async def together(bare_world: World) -> World:
    """A primary with documents that are written together, and none yet."""
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_NAME)
    return bare_world


async def text_of(state: str) -> str | None:
    async with YjsReader() as yjs:
        return await yjs.text(state, "bob/draft")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "formatted",
            "A plan\nHello bold <b> & \U0001d11e world\n\none\ntwo\nlines\nif a:\n    b\nby @bob today",
        ),
        ("edited", "kept and added"),
        ("empty", ""),
        ("deep", "at the bottom"),
    ],
)
async def test_a_state_is_read_as_the_lines_that_its_readers_see(states: dict[str, str], name: str, text: str) -> None:
    assert await text_of(states[name]) == text


async def test_a_state_is_read_from_a_column_of_bytes_and_from_base64_in_lines(states: dict[str, str]) -> None:
    state = states["edited"]
    assert await text_of("\\x" + b64decode(state).hex()) == "kept and added"
    assert await text_of("\n".join(state[at : at + 76] for at in range(0, len(state), 76))) == "kept and added"


@pytest.mark.parametrize("bad", ["no base64!", b64encode(b"\xff" * 40).decode(), b64encode(b"\x01").decode(), "\\xzz"])
async def test_what_is_no_state_has_no_text_and_costs_the_next_one_nothing(states: dict[str, str], bad: str) -> None:
    async with YjsReader() as yjs:
        assert await yjs.text(bad, "bob/bad") is None
        assert await yjs.text(states["edited"], "bob/draft") == "kept and added"


async def test_a_state_that_needs_too_much_memory_costs_the_next_one_nothing(
    states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MOST_MEMORY", 60 * 2**20)  # a short state takes 34 MiB, the long one 85
    async with YjsReader() as yjs:
        assert await yjs.text(states["long"], "bob/long") is None
        assert await yjs.text(states["edited"], "bob/draft") == "kept and added"


async def test_a_state_that_takes_too_long_or_kills_its_reader_costs_the_next_one_nothing(
    states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as short:
        short.setattr(reader, "MOST_SECONDS", 0.05)
        async with YjsReader() as yjs:
            assert await yjs.text(states["long"], "bob/long") is None
            assert await yjs.text(states["edited"], "bob/draft") == "kept and added"
    async with YjsReader() as yjs:
        assert await yjs.text(states["edited"], "bob/draft") == "kept and added"
        assert yjs.process
        yjs.process.kill()
        assert await yjs.text(states["edited"], "bob/draft") is None
        assert await yjs.text(states["edited"], "bob/draft") == "kept and added"


async def test_a_slow_machine_is_no_fault_of_the_state_and_the_page_is_read_again(
    together: World, states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await together.primary.execute(WRITE, "a", states["edited"])
    with monkeypatch.context() as slow:
        slow.setattr(reader, "PATIENCE", 0.0)
        assert await together.sync() is not Outcome.DONE
        assert await together.replica(CONTENT) == []
    assert await together.sync() is Outcome.DONE
    assert await together.replica(CONTENT) == [("kept and added",)]


async def test_a_state_larger_than_any_is_not_even_fetched(
    together: World, states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await together.primary.execute(WRITE, "a", states["edited"])
    await together.primary.execute(WRITE, "b", states["long"])
    monkeypatch.setattr(reader, "MOST_BYTES", len(states["long"]) - 1)
    asked: list[str] = []

    async def watch(statement: str) -> None:
        asked.append(statement)

    together.between_statements = watch
    assert await together.sync() is Outcome.DONE
    assert await together.replica(CONTENT) == [("kept and added",), (None,)]
    assert len([statement for statement in asked if "AS value" in statement]) == 1


async def test_a_state_for_which_others_left_nothing_is_read_another_time(
    together: World, states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await together.primary.execute(WRITE, "a", states["long"])
    await together.primary.execute(WRITE, "b", states["edited"])
    with monkeypatch.context() as short:
        short.setattr(reader, "MOST_FATAL", 0)
        assert await together.sync() is Outcome.DONE
        assert await together.replica(CONTENT) == [(None,), (None,)]
    await together.primary.execute("UPDATE collaboration_documents SET document_name = document_name")
    assert await together.sync() is Outcome.DONE
    assert [(text or "")[:6] for (text,) in await together.replica(CONTENT)] == ["line 0", "kept a"]


async def test_states_that_cost_too_much_one_after_another_are_not_read_for_ever(
    states: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MOST_SECONDS", 0.05)
    monkeypatch.setattr(reader, "MOST_FATAL", 2)
    async with YjsReader() as yjs:
        assert [await yjs.text(states["long"], "bob/long") for _ in range(2)] == [None, None]
        with pytest.raises(NotTried):
            await yjs.text(states["edited"], "bob/draft")


async def test_the_replica_has_the_text_of_what_was_written_together_and_follows_it(
    together: World, states: dict[str, str]
) -> None:
    for name, state in (("a", states["edited"]), ("b", states["long"]), ("c", "no state"), ("d", None)):
        await together.primary.execute(WRITE, name, state)

    assert await together.sync() is Outcome.DONE
    [a], [b], [c], [d] = await together.replica(CONTENT)
    assert (a, c, d) == ("kept and added", None, None)
    assert b.count("\n") == 19_999
    assert b.endswith("line 19999 ")

    await together.primary.execute(WRITE, "c", states["empty"])
    await together.primary.execute(WRITE, "a", states["formatted"])
    assert await together.sync() is Outcome.DONE
    assert [text[:6] for (text,) in (await together.replica(CONTENT))[:3]] == ["A plan", "line 0", ""]
    heard = await together.replica("SELECT space_id FROM event_log WHERE name = 'content.document_changed'")
    assert sorted(heard) == [("bob/a",), ("bob/c",)], "one each"


async def test_a_document_without_a_state_keeps_its_plain_text(together: World, states: dict[str, str]) -> None:
    await together.primary.execute("ALTER TABLE collaboration_documents ADD content text")
    await together.primary.execute(WRITE, "a", states["edited"])
    await together.primary.execute(WRITE, "b", None)
    await together.primary.execute("UPDATE collaboration_documents SET content = 'plain'")

    assert await together.sync() is Outcome.DONE
    assert await together.replica(CONTENT) == [("kept and added",), ("plain",)]

    await together.primary.execute("ALTER TABLE collaboration_documents DROP document_data")
    assert await together.sync() is Outcome.DONE
    assert await together.replica(CONTENT) == [("plain",), ("plain",)]
