"""compose.yml holds to its rules: what is taken over in a container has little more than that container's own part."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.guardian import REPOSITORY
from deploy.logins.passwords import (
    WITH_BROKER,
    WITH_DATABASE,
    WITH_LOGIN,
    WITH_REDIS,
    PasswordError,
    from_environment,
    variable,
)
from deploy.logins.rabbitmq import definitions
from deploy.logins.redis import users

FOLDER = REPOSITORY / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {
    "api": "gateway",
    "realtime-r1": "realtime",
    "realtime-r2": "realtime",
    "spaces_auth": "spaces_auth",
    "chat": "chat",
    "sync": "sync_worker",
    "webhook_dispatcher": "webhook_dispatcher",
    "backup": "backup",
}
OWNER = "replica_user"
OWNERS_JOBS = {"migrate", "demo-primary", "restore"}  # they run once and end
NEEDED_CAPABILITIES = {  # everything else has none
    "caddy": {"NET_BIND_SERVICE"},
    "coturn": {"NET_BIND_SERVICE"},
    "db_replica": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
}
FULL_VERSION = re.compile(r"[\w./-]+:\d+\.\d+(\.\d+)?(-[\w.-]+)?(@sha256:[0-9a-f]{64})?")
SECRETS = {
    "PRESENCE_SECRET_KEY": {"spaces_auth", "webhook_dispatcher"},
    "TURN_SECRET": {"spaces_auth", "coturn"},
    "PRESENCE_PROXY_SECRET": {"caddy", "api", "realtime-r1", "realtime-r2"},
    "PRESENCE_OPERATOR_TOKEN": {"api"},
    "DB_PRIMARY_PASSWORD": {"sync"},
    "REDIS_PASSWORD": {"logins", "restore"},
}

each_service = pytest.mark.parametrize("name", SERVICES)


def values(name: str) -> dict[str, str]:
    return {key: str(value or "") for key, value in SERVICES[name].get("environment", {}).items()}


def images() -> Iterator[str]:
    ours = {"presence", "presence-demo"}
    yield from (service["image"] for service in SERVICES.values() if service["image"] not in ours)
    dockerfile = (FOLDER / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.MULTILINE))
    yield from (image for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) if image not in stages)


@each_service
def test_a_container_has_no_capability_that_it_does_not_need_and_gains_none(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) == NEEDED_CAPABILITIES.get(name, set())
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@each_service
def test_a_container_writes_to_its_volumes_and_to_memory_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert "/tmp" in SERVICES[name]["tmpfs"]


def test_no_image_floats() -> None:
    assert [image for image in images() if not FULL_VERSION.fullmatch(image)] == []
    assert len(set(images())) == 7


@each_service
def test_the_owners_login_is_that_of_jobs_that_end(name: str) -> None:
    if name in OWNERS_JOBS:
        assert "restart" not in SERVICES[name]
    else:
        urls = {key: value for key, value in values(name).items() if key != "POSTGRES_USER"}
        assert (
            not any(OWNER in value or "DB_REPLICA_PASSWORD" in value for value in urls.values()) or name == "db_replica"
        )
    demo = (FOLDER / "demo.env").read_text()
    assert OWNER not in demo


@pytest.mark.parametrize(("name", "service"), OURS.items())
def test_a_service_logs_in_as_itself_and_only_where_it_has_something_to_do(name: str, service: str) -> None:
    password = f"${{{variable(service)}}}"
    expected = {}
    if service in WITH_BROKER:
        expected["PRESENCE_AMQP_URL"] = f"amqp://{service}:{password}@rabbitmq:5672/presence"
    if service in WITH_REDIS:
        expected["PRESENCE_REDIS_URL"] = f"redis://{service}:{password}@redis:6379/0"
    if service in WITH_DATABASE:
        expected["PRESENCE_DATABASE_URL"] = f"postgresql://presence_{service}:{password}@db_replica:5432/dlux_presence"
    assert {key: value for key, value in values(name).items() if re.search(r"//[^/]*@", value)} == expected
    others = {variable(other) for other in WITH_LOGIN} - {variable(service)}
    assert not any(other in value for other in others for value in values(name).values())


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_given_to_those_who_need_it(secret: str) -> None:
    holders = {name for name in SERVICES if any(secret in f"{key} {value}" for key, value in values(name).items())}
    assert holders == SECRETS[secret]


def test_only_caddy_and_coturn_can_be_reached_and_the_servers_cannot_get_out() -> None:
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {"caddy"}
    assert {name for name, service in SERVICES.items() if service.get("network_mode") == "host"} == {"coturn"}
    assert COMPOSE["networks"]["back"]["internal"] is True
    for server in ("db_replica", "redis", "rabbitmq"):
        assert SERVICES[server]["networks"] == ["back"]


def test_no_network_is_trusted_for_what_it_says_of_addresses() -> None:
    assert all(not values(name).get("PRESENCE_TRUSTED_PROXIES") for name in SERVICES)


def test_coturn_is_not_root_and_sees_one_certificate_of_all_that_caddy_keeps() -> None:
    assert SERVICES["coturn"]["user"] == "nobody:nogroup"
    mounted = {name for name, service in SERVICES.items() if any("caddy_data" in v for v in service.get("volumes", []))}
    assert mounted == {"caddy", "turn_certificate"}
    assert SERVICES["turn_certificate"]["network_mode"] == "none"
    assert [v for v in SERVICES["coturn"]["volumes"] if v.startswith("turn_certificate:")] == [
        "turn_certificate:/certificate:ro"
    ]


def test_the_servers_files_hold_no_password() -> None:
    passwords = {service: f"secret-of-{service}" for service in WITH_LOGIN}
    written = "\n".join(users(passwords, "secret-of-admin")) + json.dumps(definitions(passwords))
    assert "secret-of" not in written


def test_no_user_of_the_broker_has_a_word_about_the_broker() -> None:
    made = definitions(dict.fromkeys(WITH_LOGIN, "x"))  # who makes backups has no user there
    assert all(user["tags"] == [] for user in made["users"])
    assert {user["name"] for user in made["users"]} == set(WITH_BROKER)
    assert all(".*" not in permission["configure"].split("|") for permission in made["permissions"])


@pytest.mark.parametrize("bad", ["", "a b", "p@ss", "a/b", "a'b"])
def test_a_password_that_is_missing_or_would_need_escaping_is_named(bad: str) -> None:
    environment = {variable(service): "fine" for service in WITH_LOGIN} | {"CHAT_PASSWORD": bad}
    with pytest.raises(PasswordError, match="CHAT_PASSWORD"):
        from_environment(environment)


def test_backups_are_made_without_a_way_out_with_tools_of_the_servers_image_and_archives_only_read() -> None:
    backup = SERVICES["backup"]
    assert backup["networks"] == ["back"]
    assert {"backups:/backups", "archive:/archive:ro"} == set(backup["volumes"])
    assert f"FROM {SERVICES['db_replica']['image']} AS postgres-tools" in (FOLDER / "Dockerfile").read_text()


def test_pg_restore_of_the_first_readme_is_our_script_in_the_database_container() -> None:
    assert "./pg_restore.sh:/usr/local/bin/pg_restore:ro" in SERVICES["db_replica"]["volumes"]
    assert os.access(FOLDER / "pg_restore.sh", os.X_OK)


def test_the_files_that_compose_mounts_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or Path(FOLDER / source).is_file(), source


def test_the_compose_file_at_the_root_is_the_same_project() -> None:
    root = yaml.safe_load((REPOSITORY / "compose.yml").read_text())
    assert root == {"name": COMPOSE["name"], "include": ["deploy/compose/compose.yml"]}


def test_a_secret_that_is_missing_stops_compose_with_the_command_that_makes_it() -> None:
    needed = set(re.findall(r"\$\{(\w+(?:_PASSWORD|_SECRET|_KEY)):\?make secrets fills it in\}", json.dumps(COMPOSE)))
    assert needed == {
        *(variable(service) for service in WITH_LOGIN),
        *("DB_REPLICA_PASSWORD", "REDIS_PASSWORD", "PRESENCE_PROXY_SECRET", "TURN_SECRET", "PRESENCE_SECRET_KEY"),
    }
