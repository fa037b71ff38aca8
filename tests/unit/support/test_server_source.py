"""Where the tests' servers come from, and what is said when they cannot come from there."""

import pytest

from deploy.local.errors import SetupError
from tests.support import containers
from tests.support.servers import CONTAINERS, PROCESSES, SOURCE, Servers, source


@pytest.mark.parametrize(
    ("setting", "chosen"), [({}, PROCESSES), ({SOURCE: ""}, PROCESSES), ({SOURCE: CONTAINERS}, CONTAINERS)]
)
def test_servers_are_local_processes_unless_containers_are_asked_for(setting: dict[str, str], chosen: str) -> None:
    assert source(setting) == chosen


def test_a_source_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SetupError, match="PRESENCE_TEST_SERVERS is 'podman': it must be processes or containers"):
        source({SOURCE: "podman"})


def test_containers_without_an_engine_fail_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOURCE, CONTAINERS)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(SetupError, match="Servers from containers were asked for and no Docker engine answers"):
        Servers()


@pytest.mark.parametrize("name", ["postgres", "redis", "rabbitmq"])
def test_the_images_are_those_of_compose(name: str) -> None:
    assert f"    image: {containers.image(name)}\n" in containers.COMPOSE.read_text()
    assert containers.image(name).startswith(f"{name}:")


def test_an_image_that_compose_does_not_name_is_an_error() -> None:
    with pytest.raises(SetupError, match="names 0 images of mysql"):
        containers.image("mysql")
