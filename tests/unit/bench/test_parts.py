"""A bench of parts is called with the name of one, and numbers; anything else is refused before a server starts."""

from collections.abc import Mapping

import pytest

from bench import machine, parts

PARTS: Mapping[str, parts.Part] = {}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """What ran, without servers."""

    class NoServers:
        def end(self) -> None: ...

    ran: list[tuple[str, tuple[int, ...]]] = []

    async def first(_: object, *numbers: int) -> None:
        ran.append(("first", numbers))

    async def second(_: object, *numbers: int) -> None:
        ran.append(("second", numbers))

    monkeypatch.setattr(parts, "Servers", NoServers)
    monkeypatch.setattr(machine, "raise_file_limit", lambda: None)
    monkeypatch.setattr(f"{__name__}.PARTS", {"first": first, "second": second})
    return ran


async def test_all_run_where_none_is_named(ran: list[object]) -> None:
    await parts.run("Title", PARTS)
    assert ran == [("first", ()), ("second", ())]


async def test_one_runs_with_its_numbers(ran: list[object]) -> None:
    await parts.run("Title", PARTS, "second", "5", "60")
    assert ran == [("second", (5, 60))]


@pytest.mark.parametrize("given", [("third",), ("first", "many")])
async def test_what_is_no_part_and_no_number_is_refused(ran: list[object], given: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        await parts.run("Title", PARTS, *given)
    assert given[-1] in str(refused.value)
    assert ran == []
