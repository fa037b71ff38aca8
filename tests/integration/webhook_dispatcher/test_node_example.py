"""The JavaScript example of docs/webhooks.md, run by Node as it stands there."""

import json
import subprocess

import pytest

from tests.support.webhook_examples import BODY, SECRETS, example, signed


def node_verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    call = f"console.log(verify({json.dumps(secret)}, {json.dumps(headers)}, Buffer.from('{body.hex()}', 'hex')))"
    done = subprocess.run(["node", "-e", f"{example('js')}\n{call}"], capture_output=True, text=True, check=True)
    return done.stdout == "true\n"


@pytest.mark.parametrize("secret", SECRETS)
def test_the_node_example_verifies(secret: str) -> None:
    assert node_verifies(secret, signed(secret), BODY)
    assert not node_verifies(secret, signed(secret), BODY + b" ")
    assert not node_verifies("a wrong one", signed(secret), BODY)
