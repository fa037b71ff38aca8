"""The examples of docs/webhooks.md, and signed webhooks to try them on."""

import re
from datetime import UTC, datetime
from pathlib import Path

from services.webhook_dispatcher import signing

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
BODY = '{"event":"chat","data":{"message":"Grüße 👋"}}'.encode()
SECRETS = ["webhook_secret", "whsec_GwzwWnJD51KqZPrCO3C+npQ3Z2BhVBTG/Y0LgObWySQ=", "ein süßes Geheimnis"]


def example(language: str, function: str = "verify") -> str:
    """The code block of the page in that language that has the function, as it stands there."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(block for block in blocks if f" {function}(" in block)


def signed(secret: str, signing_key: bytes | None = None) -> dict[str, str]:
    """The headers of a webhook with `BODY`: two signatures, that of `secret` the second; and one by a private key."""
    keys = [signing.key_of(other) for other in ("another secret", secret)]
    return signing.headers(keys, "msg_1", BODY, datetime.now(UTC), signing_key)
