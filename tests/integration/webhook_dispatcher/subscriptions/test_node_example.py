"""The JavaScript examples of docs/webhooks.md, run by Node as they stand there."""

import json
import subprocess

import pytest

from services.webhook_dispatcher import signing
from tests.support.webhook_examples import BODY, SECRETS, example, signed


def node_verifies(key: str, headers: dict[str, str], body: bytes, function: str = "verify") -> bool:
    call = f"console.log({function}({json.dumps(key)}, {json.dumps(headers)}, Buffer.from('{body.hex()}', 'hex')))"
    script = f"{example('js', function)}\n{call}"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    return done.stdout == "true\n"


@pytest.mark.parametrize("secret", SECRETS)
def test_the_node_example_verifies(secret: str) -> None:
    assert node_verifies(secret, signed(secret), BODY)
    assert not node_verifies(secret, signed(secret), BODY + b" ")
    assert not node_verifies("a wrong one", signed(secret), BODY)


def test_the_node_example_verifies_by_the_public_key_alone() -> None:
    private, another = signing.make_signing_key(), signing.make_signing_key()
    headers, public = signed(SECRETS[0], private), signing.public_key_of(private)

    def verifies(key: str, headers: dict[str, str], body: bytes) -> bool:
        return node_verifies(key, headers, body, "verifyByPublicKey")

    assert verifies(public, headers, BODY)
    assert node_verifies(SECRETS[0], headers, BODY)
    assert not verifies(public, headers, BODY + b" ")
    assert not verifies(signing.public_key_of(another), headers, BODY)
    assert not verifies(public, {**headers, "webhook-id": "msg_2"}, BODY)
    assert not verifies(public, signed(SECRETS[0]), BODY)
