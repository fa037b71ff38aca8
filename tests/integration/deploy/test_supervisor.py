"""The supervisor brings a stack up, revives what dies, restarts what is asked, and leaves nothing behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from deploy.local.errors import SetupError, StartError
from deploy.local.guardian import started
from deploy.local.ports import free_port
from deploy.local.processes import read_pid_file
from deploy.local.stack import SERVICES, Stack
from deploy.local.state import DOWN, FAILED, UP, StateFile
from deploy.local.supervisor import Supervisor
from tests.support.servers import Servers

SERVICE = """
import asyncio, json, os
from aiohttp import web

async def answer(request):
    return web.json_response({name: value for name, value in os.environ.items() if "PRESENCE" in name})

async def main():
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    for port in ("PRESENCE_OPS_PORT", "PRESENCE_HTTP_PORT"):
        await web.TCPSite(runner, "127.0.0.1", int(os.environ[port])).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""
BROKEN = "import sys; print('line one'); sys.exit('no database, no fun')"


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "service.py"
    file.write_text(SERVICE)
    return str(file)


@pytest.fixture
async def stack(servers: Servers, tmp_path: Path, script: str) -> AsyncIterator[Stack]:
    stack = Stack(
        tmp_path / "stack",
        public_port=free_port(),
        environ={
            **os.environ,
            "PRESENCE_DATABASE_URL": await servers.new_database(),
            "PRESENCE_PRIMARY_URL": await servers.new_primary(),
            "PRESENCE_REDIS_URL": servers.redis.url,
            "PRESENCE_AMQP_URL": servers.rabbitmq.url,
            "PRESENCE_LOG_LEVEL": "",
        },
        services={name: ((script,), own) for name, (_, own) in SERVICES.items()},
    )
    yield stack
    await stack.stop()
    stack.place.remove()


@pytest.fixture
def supervisor(stack: Stack) -> Supervisor:
    return Supervisor(stack)


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - files and processes have no event
            await asyncio.sleep(0.02)


async def get(url: str) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        body: dict[str, str] = await answer.json()
        return body


async def test_a_dead_component_is_revived_and_a_stop_leaves_no_process(stack: Stack, supervisor: Supervisor) -> None:
    def pid(name: str) -> int | None:
        return read_pid_file(stack.place.run / f"{name}.pid")

    running = asyncio.create_task(supervisor.run())
    state = StateFile(stack.place)
    await until(lambda: state.read().phase == UP)
    first = pid("chat")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: pid("chat") not in (None, first) and state.read().components["chat"][0] == "ready")
    assert state.read().restarts == {"chat": 1}
    assert (await get(stack.ops_url("chat") + "/readyz"))["PRESENCE_OPS_PORT"]

    (stack.place.run / "restart").mkdir()
    (stack.place.run / "restart" / "r1").touch()
    before = pid("r1")
    supervisor.restart_requested()
    await until(lambda: pid("r1") not in (None, before) and state.read().restarts.get("r1") == 1)

    pids = [pid(name) for name in stack.components]
    supervisor.stop.set()
    assert await running == 0
    assert state.read().phase == DOWN
    assert all(started(number) is None for number in pids if number is not None)
    assert not list(stack.place.run.glob("*.pid"))


@pytest.fixture
def broken(script: str) -> None:
    Path(script).write_text(BROKEN)


@pytest.mark.usefixtures("broken")
async def test_a_component_that_fails_is_shown_with_the_end_of_its_log(stack: Stack, supervisor: Supervisor) -> None:
    assert await supervisor.run() == 1
    state = StateFile(stack.place).read()
    assert state.phase == FAILED
    assert "did not start: it ended with exit code 1" in state.error
    assert "no database, no fun" in state.error
    assert not list(stack.place.run.glob("*.pid"))


async def test_a_stop_while_the_stack_starts_ends_it_in_order(stack: Stack, supervisor: Supervisor) -> None:
    running = asyncio.create_task(supervisor.run())
    await until(lambda: list(stack.place.run.glob("hive.pid")))
    supervisor.stop.set()
    assert await running == 0
    assert not list(stack.place.run.glob("*.pid"))


async def test_every_service_gets_the_stacks_settings_and_the_environment_wins(stack: Stack) -> None:
    await stack.start()
    first, second = await get(stack.ops_url("r1") + "/readyz"), await get(stack.ops_url("r2") + "/readyz")
    assert (first["PRESENCE_REPLICA_ID"], second["PRESENCE_REPLICA_ID"]) == ("r1", "r2")
    assert first["PRESENCE_HTTP_PORT"] != second["PRESENCE_HTTP_PORT"]
    assert first["PRESENCE_AMQP_URL"].startswith("amqp://presence:")
    assert first["PRESENCE_PUBLIC_URL"] == stack.url
    assert first["PRESENCE_OPERATOR_TOKEN"] == "presence-operator"
    assert "https://vue.dlux.io" in first["PRESENCE_ALLOWED_ORIGINS"]
    assert "PRESENCE_LOG_LEVEL" not in first  # set to nothing is not set
    through_caddy = await get(f"{stack.url}/api/health")
    assert "PRESENCE_REPLICA_ID" not in through_caddy
    await stack.kill("r1")
    assert {(await get(f"{stack.url}/socket.io/"))["PRESENCE_REPLICA_ID"] for _ in range(4)} == {"r2"}
    await stack.start_one("r1")
    assert (await get(f"{stack.url}/socket.io/?sid=r1-x"))["PRESENCE_REPLICA_ID"] == "r1"


async def test_a_given_server_that_does_not_answer_is_named_with_its_setting(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    stack = Stack(tmp_path / "stack", public_port=free_port(), environ={"PRESENCE_REDIS_URL": url})
    with pytest.raises(SetupError, match="where PRESENCE_REDIS_URL points: start that server, or unset") as caught:
        await stack.components["redis"].start()
    assert not isinstance(caught.value, StartError)
    stack.place.remove()
