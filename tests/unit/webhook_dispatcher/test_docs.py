"""The Python example of docs/webhooks.md, run as it stands there, and its table of retries."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from services.webhook_dispatcher import retry_schedule
from tests.support.webhook_examples import BODY, PAGE, SECRETS, example, signed


def python_verify() -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(example("python"), names)
    verify: Callable[..., Any] = names["verify"]
    return verify


@pytest.mark.parametrize("secret", SECRETS)
def test_the_python_example_verifies(secret: str) -> None:
    assert python_verify()(secret, signed(secret), BODY)["event"] == "chat"
    with pytest.raises(WebhookVerificationError):
        python_verify()(secret, signed(secret), BODY + b" ")


def test_the_table_of_retries_is_the_schedule() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| after the one before"))
    units = {"s": 1, "min": 60, "h": 3600}
    pauses = [int(n) * units[unit] for n, unit in re.findall(r"(\d+) (s|min|h)\b", row)]
    assert pauses == [pause.total_seconds() for pause in retry_schedule.RETRIES]
