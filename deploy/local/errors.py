"""Errors of the local stack, written for the person who has to act."""

from pathlib import Path


class SetupError(Exception):
    """Something on this machine must change first; the text is one sentence that says what to do.

    The command line prints it without a traceback and exits with 1.
    """


class StartError(SetupError):
    """A component did not become ready; carries the end of its log."""

    def __init__(self, component: str, reason: str, log: Path | None = None, lines: int = 15) -> None:
        self.component = component
        text = f"{component} did not start: {reason}."
        if log is not None:
            text += f"\nThe end of its log, {log}:\n{tail(log, lines)}"
        super().__init__(text)


def tail(log: Path, lines: int) -> str:
    """The last `lines` lines of a log, indented; a note where there is none."""
    try:
        text = log.read_bytes()[-65536:].decode(errors="replace")
    except OSError as error:
        return f"  (unreadable: {error.strerror})"
    last = text.splitlines()[-lines:]
    return "\n".join(f"  {line}" for line in last) if last else "  (empty)"
