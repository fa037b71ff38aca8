"""Who takes over a service has what its login has in PostgreSQL: no other's tables, no secrets, no other role."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.local.databases import drop_database
from deploy.logins.passwords import BACKUP, WITH_DATABASE, WITH_TABLES, with_login
from deploy.logins.postgres import login
from tests.support.servers import PASSWORDS, Servers

WRITTEN_BY = {
    "spaces_auth": "presence_space_settings",
    "chat": "chat_messages",
    "sync_worker": "posts",
    "webhook_dispatcher": "webhook_subscriptions",
}
SECRETS_OF = {
    "spaces_auth": ("signing_keys", "refresh_tokens"),
    "webhook_dispatcher": ("webhook_subscriptions", "webhook_deliveries"),
}
FOR_THE_OWNER = (
    "CREATE TABLE public.mine (a int)",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "CREATE EXTENSION dblink",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "TRUNCATE event_log",
    "UPDATE event_log SET seq = 1",
    "DROP TABLE event_log",
    "SET ROLE replica_user",
    "SET SESSION AUTHORIZATION replica_user",
)

type Login = asyncpg.Connection[asyncpg.Record]


@pytest.fixture(params=WITH_TABLES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def connection(servers: Servers, service: str) -> AsyncIterator[Login]:
    """A connection with the login of `service`, as a process has it."""
    owner = await servers.new_database_with_logins()
    url = with_login(owner, login(service), PASSWORDS[service])
    connection = await asyncpg.connect(url, server_settings={"role": login(service)})
    yield connection
    await connection.close()
    await drop_database(servers.postgres, owner.rpartition("/")[2])


async def refused(connection: Login, statement: str) -> bool:
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
        return False
    return True


async def test_a_service_writes_its_own_tables_and_no_others(connection: Login, service: str) -> None:
    for writer, table in WRITTEN_BY.items():
        assert await refused(connection, f"DELETE FROM {table}") == (writer != service), table


async def test_a_service_reads_no_secret_of_another(connection: Login, service: str) -> None:
    for keeper, tables in SECRETS_OF.items():
        for table in tables:
            assert await refused(connection, f"SELECT * FROM {table}") == (keeper != service), table


async def test_what_is_the_owners_is_refused_to_every_service(connection: Login) -> None:
    assert [statement for statement in FOR_THE_OWNER if not await refused(connection, statement)] == []


async def test_no_other_role_stands_behind_a_login(connection: Login, service: str) -> None:
    await connection.execute("RESET ROLE")
    await connection.execute("RESET SESSION AUTHORIZATION")
    assert await connection.fetchval("SELECT current_user || ' ' || session_user") == " ".join([login(service)] * 2)
    for other in set(WITH_DATABASE) - {service}:
        assert await refused(connection, f"SET ROLE {login(other)}")
    assert await refused(connection, "SELECT * FROM pg_authid")
    row = await connection.fetchrow("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = user")
    assert row is not None
    assert not any(row)


async def test_who_makes_backups_reads_every_table_also_one_of_later_and_changes_nothing(servers: Servers) -> None:
    owner = await servers.new_database_with_logins()
    makers = [await asyncpg.connect(owner), await asyncpg.connect(owner, server_settings={"role": login("chat")})]
    connection = await asyncpg.connect(with_login(owner, login(BACKUP), PASSWORDS[BACKUP]))
    try:
        await makers[0].execute("CREATE SCHEMA later")
        await makers[0].execute("CREATE TABLE later.by_owner (a int GENERATED ALWAYS AS IDENTITY)")
        await makers[1].execute("SELECT chat_partitions.make_month('2031-01-01')")
        tables = await connection.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') "
            "AND relnamespace::regnamespace::text IN ('public', 'chat_partitions', 'later')"
        )
        names = {row["name"] for row in tables}
        assert {"signing_keys", "later.by_owner", "chat_partitions.chat_messages_2031_01"} <= names
        for name in names:
            await connection.fetch(f"SELECT * FROM {name}")
            for change in (f"DELETE FROM {name}", f"TRUNCATE {name}", f"DROP TABLE {name}"):
                assert await refused(connection, change), change
        assert await connection.fetchval("SELECT last_value FROM later.by_owner_a_seq") == 1
        allowed = [statement for statement in FOR_THE_OWNER if not await refused(connection, statement)]
        assert allowed == ["CREATE DATABASE mine"], "for drills"
    finally:
        for one in (connection, *makers):
            await one.close()
        await drop_database(servers.postgres, "mine")
        await drop_database(servers.postgres, owner.rpartition("/")[2])


async def test_a_wrong_password_is_refused(servers: Servers) -> None:
    for password in ("wrong", ""):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(with_login(servers.url_of("postgres"), login("chat"), password))
