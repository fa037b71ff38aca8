"""`python -m deploy.local.sign` as a person runs it."""

import subprocess
import sys

from deploy.local.guardian import REPOSITORY
from deploy.local.keys import private_key, sign

TEXT = "presence login\naccount: alice\nnonce: 3f9a"


def test_the_command_prints_what_keychain_would_return() -> None:
    command = [sys.executable, "-m", "deploy.local.sign", "alice"]
    done = subprocess.run(command, input=f"{TEXT}\n", capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout == sign(TEXT, private_key("alice")) + "\n"
