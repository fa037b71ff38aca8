"""A stack's folder: its data stay within reach of the servers' users, and its secrets out of everybody else's."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.local.workplace import Workplace, reachable_by_all


def test_data_that_other_users_could_not_reach_are_kept_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    place = Workplace(tmp_path / "stack")
    assert reachable_by_all(place.data)
    assert Workplace(tmp_path / "stack").data == place.data
    secret = place.secret("password")
    assert Workplace(tmp_path / "stack").secret("password") == secret
    assert json.loads((place.data / "secrets.json").read_text()) == {"password": secret}
    assert (place.data / "secrets.json").stat().st_mode & 0o077 == 0
    place.remove()
    assert not place.data.exists()


def test_a_link_to_deleted_data_is_made_anew(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    place = Workplace(tmp_path / "stack")
    shutil.rmtree(place.data)
    again = Workplace(tmp_path / "stack")
    assert again.data.is_dir()
    again.remove()


def test_secrets_made_by_threads_at_once_are_all_kept(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "stack")
    names = [f"secret{number}" for number in range(40)]
    with ThreadPoolExecutor(max_workers=8) as threads:
        secrets = list(threads.map(place.secret, names))
    assert [place.secret(name) for name in names] == secrets
    place.remove()
