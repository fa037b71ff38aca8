"""Settings of tests: as they are declared, without an environment."""

import base64
from typing import Any

SECRET_KEY = base64.b64encode(bytes(32)).decode()


def defaults[S](cls: type[S], **changes: Any) -> S:
    """Returns settings with their declared defaults, a secret key if they need one, and `changes`."""
    declared: Any = cls.__dataclass_fields__  # type: ignore[attr-defined]
    values = {name: spec.metadata["default"] for name, spec in declared.items()}
    if "secret_key" in values:
        values["secret_key"] = SECRET_KEY
    return cls(**values | changes)
