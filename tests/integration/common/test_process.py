"""A service as it runs in earnest: a process, its ops port, SIGTERM."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.test_utils import unused_port
from sqlalchemy import text

from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts import chat
from libs.common.contracts.chat import PostMessage
from tests.integration.common.world import caller, owner_of
from tests.support.servers import as_service
from tests.support.waiting import eventually


@dataclass
class Running:
    """A process and its ops port."""

    process: asyncio.subprocess.Process
    port: int

    async def readyz(self) -> Any:
        """Its answer; None while nothing listens."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                return {"status": answer.status, **await answer.json()}
        except aiohttp.ClientConnectionError:
            return None

    async def waits_for(self, *names: str) -> None:
        async def found() -> bool:
            answer = await self.readyz()
            return answer is not None and answer["waiting_for"] == list(names)

        await eventually(found)

    async def ended(self, seconds: float) -> int:
        return await asyncio.wait_for(self.process.wait(), seconds)


@contextlib.asynccontextmanager
async def chat_process(**settings: str) -> AsyncIterator[Running]:
    """Killed at the end if it still runs."""
    port = unused_port()
    environment = {"PATH": os.environ["PATH"], "PRESENCE_OPS_PORT": str(port), **settings}
    command = (sys.executable, "-m", "services.chat")
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        yield Running(process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_process_without_its_broker_lives_says_so_and_ends_at_once(database_url: str) -> None:
    nowhere = f"amqp://guest:guest@127.0.0.1:{unused_port()}/"
    async with chat_process(PRESENCE_DATABASE_URL=database_url, PRESENCE_AMQP_URL=nowhere) as running:
        await running.waits_for("RabbitBus")
        assert (await running.readyz())["status"] == 503
        running.process.terminate()
        assert await running.ended(5) == 0


async def test_a_process_whose_broker_url_is_wrong_lives_says_so_and_ends_itself(database_url: str) -> None:
    async with chat_process(
        PRESENCE_DATABASE_URL=database_url, PRESENCE_AMQP_URL="ampq:/nonsense", PRESENCE_UNREADY_EXIT_SECONDS="3"
    ) as running:
        await running.waits_for("RabbitBus")
        assert await running.ended(30) == 1


async def test_a_process_with_bad_settings_ends_in_one_sentence_that_names_them() -> None:
    settings = {"PRESENCE_DATABASE_POOL": "many", "PRESENCE_DRAIN_SECONDS": "soon"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.chat",
        env={"PATH": os.environ["PATH"], **settings}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert errors.startswith(b"chat: ")
    assert all(name.encode() in errors for name in settings)
    assert b"Traceback" not in errors


async def test_a_process_finishes_what_it_began_before_it_ends(database_url: str, amqp_url: str) -> None:
    """SIGTERM in the middle of a call: it is answered, and nothing is left half done."""
    async with chat_process(
        PRESENCE_DATABASE_URL=database_url, PRESENCE_AMQP_URL=as_service(amqp_url, "chat"), PRESENCE_DRAIN_SECONDS="150"
    ) as running:
        bus = RabbitBus(as_service(amqp_url, "gateway"), "test")
        await bus.start()
        await running.waits_for()
        async with owner_of(database_url) as owner:
            await owner.sql("INSERT INTO space_counters VALUES ('global', 'lobby', 0)")
            async with owner.database.transaction() as connection:
                await connection.execute(text("SELECT * FROM space_counters FOR UPDATE"))
                call = asyncio.create_task(
                    bus.call(chat.post_message, PostMessage("global", "lobby", "hello"), caller("alice"), timeout=20)
                )
                await eventually(lambda: owner.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'"))
                running.process.terminate()
                await running.waits_for("draining")
                assert not call.done()
            assert (await call).message.content == "hello"
            assert await running.ended(100) == 0, "as soon as it has finished, long before its deadline"
            assert len(await owner.sql("SELECT 1 FROM chat_messages")) == 1
        await bus.stop()
