"""The stack's state, from the supervisor to the command line: one small file, replaced at every change."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.workplace import Workplace, replace_text

STARTING, UP, STOPPING, DOWN, FAILED = "starting", "up", "stopping", "down", "failed"


@dataclass
class State:
    """The stack as a whole, and each component's last word with its time (seconds since 1970)."""

    phase: str = DOWN
    url: str = ""
    lan_url: str = ""  # empty where the network is not served
    began: float = 0.0
    error: str = ""
    database_url: str = ""
    components: dict[str, tuple[str, float]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)


class StateFile:
    """`run/state.json`."""

    def __init__(self, place: Workplace) -> None:
        self._file = place.run / "state.json"

    @property
    def file(self) -> Path:
        return self._file

    def write(self, state: State) -> None:
        replace_text(self._file, json.dumps(asdict(state), indent=1))

    def read(self) -> State:
        """The last state; an absent or damaged file means that the stack is down."""
        try:
            return State(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return State()


def begun(url: str, database_url: str, lan_url: str = "") -> State:
    """The state of a stack that starts now."""
    return State(phase=STARTING, url=url, lan_url=lan_url, began=time.time(), database_url=database_url)
