"""What a URL is asked before its first event, and how it says yes.

The body is that of an event called `ping`, with a challenge in `data`, which `X-DLUX-Challenge` repeats. An endpoint
says yes by a 2xx with the challenge in the first KiB of its body, or with `X-DLUX-Challenge` set to the challenge or to
`accept`. A 2xx alone is what any server might answer.
"""

import secrets
from datetime import datetime

import msgspec

from libs.common.clock import rfc3339

NAME = "ping"
CHALLENGE_HEADER = "X-DLUX-Challenge"
ACCEPT = "accept"  # for who can set a header and read none
_CHALLENGE_BYTES = 24


def new_challenge() -> str:
    """Returns a text that nobody can guess, of characters that mean the same in a header, in JSON and in HTML."""
    return secrets.token_urlsafe(_CHALLENGE_BYTES)


def ping_body(webhook_id: str, space: tuple[str, str], moment: datetime, challenge: str) -> bytes:
    """Returns the bytes to send; `space` is the subscription's type and id."""
    return msgspec.json.encode(
        {
            "id": webhook_id,
            "type": NAME,
            "event": NAME,
            "space_type": space[0],
            "space_id": space[1],
            "timestamp": rfc3339(moment),
            "sequence": 0,
            "data": {"challenge": challenge},
        }
    )


def says_yes(challenge: str, header: str | None, body: str | None) -> bool:
    """Returns whether a 2xx with this `X-DLUX-Challenge`, and a body that begins like this, is a yes."""
    return challenge in (body or "") or (header or "").strip() in (challenge, ACCEPT)
