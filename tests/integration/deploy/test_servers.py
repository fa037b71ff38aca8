"""The servers stop and start with their data, repair what a crash left, and say what only a person can decide."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aio_pika
import asyncpg
import pytest
import redis.asyncio

from deploy.local import packages
from deploy.local.errors import SetupError, StartError
from deploy.local.guardian import Guardian, started
from deploy.local.ports import free_port
from deploy.local.servers.postgres import COMPLETE, Postgres
from deploy.local.servers.rabbitmq import RabbitMQ
from deploy.local.servers.redis import Redis
from deploy.local.workplace import Workplace
from tests.support.servers import PASSWORDS, Servers


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    place = Workplace(tmp_path / "stack")
    yield place
    place.remove()


@pytest.fixture
async def postgres(place: Workplace) -> AsyncIterator[Postgres]:
    guardian = Guardian()
    packages.ensure(Postgres.programs)
    server = Postgres(place, guardian, free_port(), durable=False)
    yield server
    await server.kill()
    guardian.close()


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_postgres_keeps_its_data_through_stop_and_kill(postgres: Postgres) -> None:
    await postgres.start()
    await value(postgres.url, "CREATE TABLE kept AS SELECT 42 AS number")
    await postgres.stop()
    await postgres.start()
    assert await value(postgres.url, "SELECT number FROM kept") == 42
    await postgres.kill()
    assert not postgres.alive
    await postgres.start()
    assert await value(postgres.url, "SELECT number FROM kept") == 42


async def test_a_half_finished_initdb_is_made_again(postgres: Postgres) -> None:
    postgres.cluster.mkdir(parents=True)
    (postgres.cluster / "PG_VERSION").write_text("15\n")
    await postgres.start()
    assert await value(postgres.url, "SELECT 1") == 1


async def test_a_postmaster_file_whose_pid_is_somebody_elses_is_no_obstacle(postgres: Postgres) -> None:
    await postgres.start()
    await postgres.stop()
    (postgres.cluster / "postmaster.pid").write_text("1\n")
    await postgres.start()
    assert await value(postgres.url, "SELECT 1") == 1
    assert started(1) is not None


async def test_a_cluster_of_another_version_is_named_and_left_alone(postgres: Postgres) -> None:
    postgres.cluster.mkdir(parents=True)
    (postgres.folder / COMPLETE).touch()
    (postgres.cluster / "PG_VERSION").write_text("9\n")
    with pytest.raises(SetupError, match=r"made by PostgreSQL 9, this machine has \d+: install postgresql-9, or start"):
        await postgres.start()
    assert (postgres.cluster / "PG_VERSION").exists()


async def test_a_server_that_cannot_start_shows_the_end_of_its_log(place: Workplace) -> None:
    packages.ensure(Redis.programs)
    server = Redis(place, Guardian(), free_port(), PASSWORDS, databases=-1)
    with pytest.raises(StartError) as caught:
        await server.start()
    assert "redis did not start: it ended with exit code 1" in str(caught.value)
    assert str(server.child.log) in str(caught.value)
    assert "databases" in str(caught.value)


async def test_redis_starts_again_empty(place: Workplace) -> None:
    packages.ensure(Redis.programs)
    guardian = Guardian()
    server = Redis(place, guardian, free_port(), PASSWORDS)
    await server.start()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await client.set("key", "value")
    await server.stop()
    await server.start()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        assert await client.get("key") is None
    await server.stop()
    assert not server.alive
    guardian.close()


async def test_rabbitmq_keeps_durable_messages_through_a_restart(servers: Servers, rabbitmq_server: RabbitMQ) -> None:
    amqp_url = servers.new_vhost()  # and it stays: RabbitMQ 3.10 dies of a queue that goes while its dead letters start
    connection = await aio_pika.connect(amqp_url)
    channel = await connection.channel()
    await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
    await channel.default_exchange.publish(aio_pika.Message(b"hello", delivery_mode=2), "kept")
    await connection.close()
    await rabbitmq_server.stop()
    assert not rabbitmq_server.alive
    await rabbitmq_server.start()
    connection = await aio_pika.connect(amqp_url)
    channel = await connection.channel()
    queue = await channel.get_queue("kept")
    message = await queue.get(timeout=10)
    assert message.body == b"hello"
    await message.ack()
    await connection.close()


async def test_every_test_has_a_database_a_virtual_host_and_a_key_space_of_its_own(servers: Servers) -> None:
    databases = {await servers.new_database(migrated=False), await servers.new_database(migrated=False)}
    hosts = {servers.new_vhost(), servers.new_vhost()}
    spaces = {servers.new_redis_database(), servers.new_redis_database()}
    assert len(databases) == len(hosts) == len(spaces) == 2
