"""What the replica keeps of the passwords that the primary has in the clear.

A digest with the event's code as salt: it can be made again of the same row, so a scan sees whether it changed, and
the replica and its backups do not hold the word itself. It is as good as the word is long; guesses are counted.
"""

import hashlib
import hmac

_MARK = "primary"


def digest_of(event_code: str, password: str) -> str:
    """Returns what is stored of an event's password: mark, code and SHA-256, with dollars between."""
    return f"{_MARK}${event_code}${hashlib.sha256(f'{event_code}\n{password}'.encode()).hexdigest()}"


def is_digest(stored: str) -> bool:
    """Returns whether it was made by `digest_of`, and not by the hash of passwords that are set here."""
    return stored.startswith(f"{_MARK}$")


def fits(password: str, stored: str) -> bool:
    """Returns whether the digest `stored` is of that password."""
    return hmac.compare_digest(digest_of(stored.split("$")[1], password), stored)
