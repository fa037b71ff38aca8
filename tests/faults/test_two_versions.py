"""A version is replaced process by process: the one before and this one share a broker, Redis and the database.

Nothing that either acknowledged is lost, said twice or left dead, whichever of them a command or an event meets.
"""

import asyncio
import io
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aio_pika
import pytest

from deploy.local.components import Service
from deploy.local.guardian import REPOSITORY, Guardian
from deploy.local.ports import free_port
from deploy.local.processes import Launch
from deploy.local.stack import Stack
from libs.common.bus import topology
from tests.support.halls import fresh
from tests.support.people import Rest
from tests.support.visitors import Visitor, agree, visitors
from tests.support.waiting import eventually
from tests.support.webhook_sink import WebhookSink

BEFORE = "b0e4808c5ece73979b775f92aa457691726fad63"  # the newest commit of the version before
REPLACED = ("chat", "spaces_auth", "webhook_dispatcher")
WORDS = 20  # of each visitor, in each stage


class OldService(Service):
    """A service of another checkout."""

    tree: Path
    url: str

    def launch(self) -> Launch:
        return replace(super().launch(), cwd=self.tree)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version before, as its commit has it."""
    folder = tmp_path_factory.mktemp("before")
    archive = subprocess.run(["git", "archive", BEFORE, "libs", "services"], cwd=REPOSITORY, capture_output=True)
    assert archive.returncode == 0, f"this needs the history of the repository: {archive.stderr.decode()}"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@asynccontextmanager
async def old(stack: Stack, tree: Path, service: str) -> AsyncIterator[OldService]:
    """A process of the version before, ready."""
    guardian, ops_port, http_port = Guardian(), free_port(), free_port()
    own = {
        "PRESENCE_OPS_PORT": str(ops_port),
        "PRESENCE_HTTP_PORT": str(http_port),
        "PRESENCE_REPLICA_ID": "old",
        "PYTHONPATH": str(tree),
    }
    environment = {**stack.settings_of(service), **own}
    command = ("-m", f"services.{service}")
    process = OldService(f"old-{service}", stack.place, guardian, command, environment, (ops_port, "/readyz"))
    process.tree = tree
    process.url = f"http://127.0.0.1:{http_port}"
    await process.start()
    try:
        yield process
    finally:
        await process.stop()
        guardian.close()


async def test_the_version_before_and_this_one_serve_one_installation_together(
    stack: Stack, rest: Rest, tree: Path
) -> None:
    space, said = fresh(), []
    async with AsyncExitStack() as closing:
        sink = await closing.enter_async_context(WebhookSink())
        subscription = {"space_type": "event", "space_id": space, "webhook_url": sink.url, "events": ["chat"]}
        await rest.post("/api/webhooks/subscribe", subscription, await rest.token("alice"))
        olds = {name: await closing.enter_async_context(old(stack, tree, name)) for name in ("realtime", *REPLACED)}
        people = await closing.enter_async_context(visitors(rest, space, [stack.url, olds["realtime"].url]))
        said += await everybody_speaks(people, "both")
        for name in REPLACED:
            await stack.stop_one(name)
        try:
            said += await everybody_speaks(people, "only the version before")
        finally:
            for name in REPLACED:
                await stack.start_one(name)
        for name in REPLACED:
            await olds[name].stop()
        said += await everybody_speaks(people, "only this one")
        await agree(people)
        await eventually(lambda: {request.json["data"]["message"] for request in sink.received} >= set(said))
        assert len({request.webhook_id for request in sink.received}) == len(said), "each once"
    for group in topology.EVENT_GROUPS:
        assert await dead_of(stack, group) == 0, group


async def everybody_speaks(people: list[Visitor], stage: str) -> list[str]:
    """Returns what was acknowledged, once everybody has heard it."""
    words = {person: [f"{stage}: {person.name} {n}" for n in range(WORDS)] for person in people}
    await asyncio.gather(*(say_all(person, words[person]) for person in people))
    for n, person in enumerate(people):
        await person.move(float(n), float(len(stage)))
    said = [word for own in words.values() for word in own]
    for person in people:
        await eventually(partial(person.has_heard, said))
    return said


async def say_all(person: Visitor, words: list[str]) -> None:
    for word in words:
        await person.say(word)


async def dead_of(stack: Stack, group: str) -> int:
    """How many messages a group has given up on."""
    async with await aio_pika.connect(stack.settings["PRESENCE_AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.dead_queue(group))
        return queue.declaration_result.message_count or 0
