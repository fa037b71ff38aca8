"""Starts components as soon as what they need is ready, everything else at the same time, and stops them backwards."""

import asyncio
from collections.abc import Callable, Mapping

from deploy.local.servers.base import Component

Progress = Callable[[str, str], None]  # (component, "starting" | "ready" | "stopping" | "stopped")


class Order:
    """Components by name and what each waits for. A need that is not among the components is not waited for."""

    def __init__(
        self, components: Mapping[str, Component], needs: Mapping[str, tuple[str, ...]], progress: Progress
    ) -> None:
        self._components = components
        self._needs = needs
        self._progress = progress

    async def start(self) -> None:
        """Start everything. At the first failure everything is stopped again, and its error raised."""
        ready = {name: asyncio.Event() for name in self._components}
        try:
            async with asyncio.TaskGroup() as tasks:
                for name in self._components:
                    tasks.create_task(self._start_when_needed(name, ready))
        except BaseExceptionGroup as errors:
            await self.stop()
            raise first_error(errors) from None
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def start_one(self, name: str) -> None:
        """Start one component; what it needs must be there already."""
        self._progress(name, "starting")
        await self._components[name].start()
        self._progress(name, "ready")

    async def stop(self) -> None:
        """Stop everything, those that need others first. Errors do not keep the rest from being stopped."""
        stopped: set[str] = set()
        while wave := [name for name in self._components if name not in stopped and self._is_free(name, stopped)]:
            await asyncio.gather(*(self.stop_one(name) for name in wave), return_exceptions=True)
            stopped.update(wave)

    async def stop_one(self, name: str) -> None:
        """Stop one component."""
        self._progress(name, "stopping")
        await self._components[name].stop()
        self._progress(name, "stopped")

    async def _start_when_needed(self, name: str, ready: Mapping[str, asyncio.Event]) -> None:
        for need in self._needs.get(name, ()):
            if need in ready:
                await ready[need].wait()
        await self.start_one(name)
        ready[name].set()

    def _is_free(self, name: str, stopped: set[str]) -> bool:
        """Returns whether no running component needs it."""
        return all(name not in self._needs.get(other, ()) for other in self._components if other not in stopped)


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single error in a group: it caused the others."""
    first = errors.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
