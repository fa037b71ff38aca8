"""Components start as soon as what they need is there, and stop backwards."""

import asyncio

import pytest

from deploy.local.errors import StartError
from deploy.local.order import Order


class Fake:
    """A component that takes a moment, or fails."""

    alive = True

    def __init__(self, name: str, events: list[str], *, fails: bool = False) -> None:
        self.name = name
        self._events = events
        self._fails = fails

    async def start(self) -> None:
        self._events.append(f"{self.name} starts")
        await asyncio.sleep(0)
        if self._fails:
            raise StartError(self.name, "it is a test")
        self._events.append(f"{self.name} ready")

    async def stop(self) -> None:
        self._events.append(f"{self.name} stopped")

    async def kill(self) -> None:
        await self.stop()


NEEDS = {"service": ("database", "broker"), "proxy": ("service",), "absent": ("nothing",)}


def order_of(events: list[str], *names: str, fails: str | None = None) -> Order:
    components = {name: Fake(name, events, fails=name == fails) for name in names}
    return Order(components, NEEDS, lambda _name, _state: None)


async def test_components_without_needs_start_at_once_and_the_others_in_turn() -> None:
    events: list[str] = []
    await order_of(events, "proxy", "service", "database", "broker").start()
    assert events[:2] == ["database starts", "broker starts"]
    assert events[4:] == ["service starts", "service ready", "proxy starts", "proxy ready"]


async def test_a_need_that_is_not_among_the_components_is_not_waited_for() -> None:
    events: list[str] = []
    await order_of(events, "service").start()
    assert events == ["service starts", "service ready"]


async def test_nothing_is_stopped_before_those_that_need_it() -> None:
    events: list[str] = []
    await order_of(events, "database", "broker", "service", "proxy").stop()
    assert events == ["proxy stopped", "service stopped", "database stopped", "broker stopped"]


async def test_a_failure_stops_everything_and_names_the_component() -> None:
    events: list[str] = []
    with pytest.raises(StartError, match="service did not start: it is a test"):
        await order_of(events, "database", "broker", "service", "proxy", fails="service").start()
    assert "proxy starts" not in events
    assert events[-2:] == ["database stopped", "broker stopped"]
