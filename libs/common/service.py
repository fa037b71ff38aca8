"""Running a process: components start in order, stop in reverse, drain first, and tell how they are.

`/livez` says the event loop turns, `/readyz` that every component is ready (503 with the names of
those that are not), `/metrics` is Prometheus' text format. A process that stays unready for too long ends itself:
whoever keeps it starts it anew, with the settings of that time, and sees that something is wrong.
"""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import structlog
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.common import log
from libs.common.settings import CommonSettings, SettingsError, read

_log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0  # between two looks whether the process is ready
LONGEST_STOP = 5.0  # seconds one component may take to stop
# Objects more, then runs of the younger generation, before a collection. Reference counts free nearly everything; a
# full collection stops a replica with 1000 sockets for some 60 ms, and Python's 700 lets a crowd cause several.
GC_THRESHOLDS = 10_000, 10, 10


@runtime_checkable
class Component(Protocol):
    """Something with a life: a connection, a consumer, a server."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@runtime_checkable
class Drainable(Protocol):
    async def drain(self) -> None:
        """Takes no new work and finishes what was taken."""


@runtime_checkable
class Watched(Protocol):
    @property
    def ready(self) -> bool: ...


class Service:
    """The components of one process, in the order in which they start.

    `is_edge` says that people hold connections to it, which are to outlive the absence of what lies behind: once it was
    ready it stays, and answers `unavailable`.
    """

    def __init__(self, name: str, components: list[Component], *, is_edge: bool = False) -> None:
        self.name = name
        self.is_edge = is_edge
        self.draining = False
        self._components = components
        self._started: list[Component] = []

    async def start(self) -> None:
        for component in self._components:
            await component.start()
            self._started.append(component)
        _log.info("started", service=self.name)

    async def stop(self, drain_seconds: float = 10.0) -> None:
        """Drains within the deadline, then stops in reverse. Errors are logged, never raised."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_seconds):
                for component in reversed(self._started):
                    await _drain_one(component)
        for component in reversed(self._started):
            await _stop_one(component)
        self._started.clear()
        _log.info("stopped", service=self.name)

    def not_ready(self) -> list[str]:
        """Names of the components that are not ready; empty means the process is."""
        if self.draining:
            return ["draining"]
        if len(self._started) < len(self._components):
            return ["starting"]
        return [type(c).__name__ for c in self._components if isinstance(c, Watched) and not c.ready]


class Impatience:
    """Notices a service that is of no use: unready for `seconds` on end. `clock` gives seconds; 0 waits for ever."""

    def __init__(self, service: Service, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._seconds = seconds
        self._clock = clock
        self._ready_at = clock()
        self._was_ready = False

    def is_over(self) -> bool:
        """Looks once, and returns whether the process is to end."""
        waiting_for = self._service.not_ready()
        if not waiting_for:
            self._ready_at, self._was_ready = self._clock(), True
        if not waiting_for or self._service.draining or self._seconds <= 0:
            return False
        if self._service.is_edge and self._was_ready:
            return False
        is_over = self._clock() - self._ready_at >= self._seconds
        if is_over:
            _log.error(
                "ends itself: it was not ready for too long", service=self._service.name, waiting_for=waiting_for
            )
        return is_over

    async def run_out(self) -> None:
        """Returns when the process is to end."""
        while not self.is_over():  # noqa: ASYNC110  no event tells of it
            await asyncio.sleep(LOOK_SECONDS)


async def _drain_one(component: Component) -> None:
    if not isinstance(component, Drainable):
        return
    try:
        await component.drain()
    except Exception:
        _log.exception("component did not drain cleanly", component=type(component).__name__)


async def _stop_one(component: Component) -> None:
    try:
        async with asyncio.timeout(LONGEST_STOP):
            await component.stop()
    except Exception:
        _log.exception("component did not stop cleanly", component=type(component).__name__)


class OpsServer:
    """`/livez`, `/readyz`, `/metrics` on their own port, so that no edge exposes them."""

    def __init__(self, service: Service, host: str, port: int) -> None:
        self._service = service
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        missing = self._service.not_ready()
        return web.json_response({"ready": not missing, "waiting_for": missing}, status=503 if missing else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _serve(service: Service, settings: CommonSettings) -> bool:
    """Runs the service until SIGTERM or SIGINT. Returns False if it ended itself."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    ops = OpsServer(service, settings.ops_host, settings.ops_port)
    await ops.start()
    useless = asyncio.create_task(Impatience(service, settings.unready_exit_seconds).run_out())
    useless.add_done_callback(lambda _: stopping.set())
    try:
        await service.start()
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked at again
        gc.set_threshold(*GC_THRESHOLDS)
        await stopping.wait()
        return not useless.done()
    finally:
        useless.cancel()
        await service.stop(settings.drain_seconds)
        await ops.stop()


def run[S: CommonSettings](name: str, settings_type: type[S], build: Callable[[S], Service]) -> None:
    """The body of every `__main__.py`: settings, build, run until SIGTERM or SIGINT.

    Raises `SystemExit` of 1 for settings that are wrong, and for a process that was of no use for too long.
    """

    async def main(settings: S) -> bool:
        return await _serve(build(settings), settings)

    try:
        settings = read(settings_type)
        log.configure(name, settings.log_level)
        was_useful = uvloop.run(main(settings))
    except SettingsError as error:  # of what can only be judged by whoever uses it, too
        raise SystemExit(f"{name}: {error}") from error
    if not was_useful:
        raise SystemExit(1)
