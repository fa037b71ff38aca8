"""`make secrets` makes what is missing, says what it made, and touches nothing else."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.guardian import REPOSITORY

SCRIPT = Path("deploy/compose/secrets.sh")
ENVIRONMENT = """# A comment with A_PASSWORD= in it
PRESENCE_DOMAIN=example.org
DB_PRIMARY_PASSWORD=
REDIS_PASSWORD=
CHAT_PASSWORD=mine, with spaces
TURN_SECRET=
PRESENCE_SECRET_KEY=
#PRESENCE_PRIMARY_WEBHOOK_SECRET=
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the script and the example of its settings."""
    (tmp_path / SCRIPT).parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / SCRIPT, tmp_path / SCRIPT)
    (tmp_path / ".env.example").write_text(ENVIRONMENT)
    return tmp_path


def run(project: Path) -> list[str]:
    done = subprocess.run(["sh", project / SCRIPT], cwd="/", check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def settings(project: Path) -> dict[str, str]:
    lines = (project / ".env").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_what_is_missing_is_made_and_named(project: Path) -> None:
    assert run(project) == [
        "made .env of .env.example",
        "made REDIS_PASSWORD",
        "made TURN_SECRET",
        "made PRESENCE_SECRET_KEY",
    ]
    made = settings(project)
    assert len(made["REDIS_PASSWORD"]) == len(made["TURN_SECRET"]) == 48
    assert made["REDIS_PASSWORD"] != made["TURN_SECRET"]
    assert len(base64.b64decode(made["PRESENCE_SECRET_KEY"], validate=True)) == 32
    assert (project / ".env").stat().st_mode & 0o077 == 0


def test_what_is_there_and_what_is_not_ours_to_make_stays_as_it_is(project: Path) -> None:
    run(project)
    before, after = ENVIRONMENT.splitlines(), (project / ".env").read_text().splitlines()
    changed = [line.partition("=")[0] for line, now in zip(before, after, strict=True) if line != now]
    assert changed == ["REDIS_PASSWORD", "TURN_SECRET", "PRESENCE_SECRET_KEY"]


def test_a_second_time_changes_nothing(project: Path) -> None:
    run(project)
    before = (project / ".env").read_text()
    assert run(project) == ["nothing was missing"]
    assert (project / ".env").read_text() == before


def test_the_example_of_the_settings_lacks_nothing_but_the_primarys_password_afterwards(project: Path) -> None:
    shutil.copy(REPOSITORY / ".env.example", project / ".env.example")
    run(project)
    empty = {name for name, value in settings(project).items() if name and not name.startswith("#") and not value}
    assert empty == {"DB_PRIMARY_PASSWORD"}
