"""Ports are picked once, and one that is taken is named with its holder and the setting that changes it."""

import json
import os
import socket
from pathlib import Path

import pytest

from deploy.local.errors import SetupError
from deploy.local.ports import Ports, free_port, is_free, require_free


@pytest.fixture
def taken_port() -> object:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_who_holds_it_and_the_way_out(taken_port: int) -> None:
    with pytest.raises(SetupError) as caught:
        require_free(taken_port, "PRESENCE_PORT")
    text = str(caught.value)
    assert f"Port {taken_port} is taken by " in text
    assert f"(pid {os.getpid()})" in text
    assert "PRESENCE_PORT=" in text


def test_a_port_that_is_listened_on_by_any_address_is_not_free() -> None:
    with socket.create_server(("", free_port())) as server:
        assert not is_free(server.getsockname()[1])


def test_a_port_is_remembered_from_run_to_run(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = Ports(file).reserve("redis")
    assert Ports(file).reserve("redis") == first


def test_a_remembered_port_that_is_taken_now_is_picked_anew(tmp_path: Path, taken_port: int) -> None:
    file = tmp_path / "ports.json"
    file.write_text(json.dumps({"redis": taken_port}))
    ports = Ports(file)
    assert ports.reserve("redis") != taken_port
    assert json.loads(file.read_text())["redis"] == ports.reserve("redis")


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"redis": "x"}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(damage)
    assert is_free(Ports(file).reserve("redis"))
