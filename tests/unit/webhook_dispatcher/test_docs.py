"""The examples of docs/webhooks.md, run as they stand there."""

import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from services.webhook_dispatcher import schedule, signing

PAGE = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
BODY = '{"event":"chat","data":{"message":"Grüße 👋"}}'.encode()
SECRETS = ["webhook_secret", signing.make_secret(), "ein süßes Geheimnis"]


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def signed(secret: str) -> dict[str, str]:
    """Two entries, ours the second."""
    keys = [signing.key_of(other) for other in ("another secret", secret)]
    return signing.headers(keys, "msg_1", BODY, datetime.now(UTC))


def python_verify() -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(example("python"), names)
    verify: Callable[..., Any] = names["verify"]
    return verify


def node_verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    call = f"console.log(verify({json.dumps(secret)}, {json.dumps(headers)}, Buffer.from('{body.hex()}', 'hex')))"
    done = subprocess.run(["node", "-e", f"{example('js')}\n{call}"], capture_output=True, text=True, check=True)
    return done.stdout == "true\n"


@pytest.mark.parametrize("secret", SECRETS)
def test_the_python_example_verifies(secret: str) -> None:
    assert python_verify()(secret, signed(secret), BODY)["event"] == "chat"
    with pytest.raises(WebhookVerificationError):
        python_verify()(secret, signed(secret), BODY + b" ")


@pytest.mark.parametrize("secret", SECRETS)
def test_the_node_example_verifies(secret: str) -> None:
    assert node_verifies(secret, signed(secret), BODY)
    assert not node_verifies(secret, signed(secret), BODY + b" ")
    assert not node_verifies("a wrong one", signed(secret), BODY)


def test_the_table_of_retries_is_the_schedule() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| after the one before"))
    units = {"s": 1, "min": 60, "h": 3600}
    pauses = [int(n) * units[unit] for n, unit in re.findall(r"(\d+) (s|min|h)\b", row)]
    assert pauses == [pause.total_seconds() for pause in schedule.RETRIES]
