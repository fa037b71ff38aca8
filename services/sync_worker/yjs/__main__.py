"""`python -m services.sync_worker.yjs SECONDS`: reads Yjs states, one a line, and answers each with a line of JSON.

An answer is `{text}` or `{error}`. What it is given was written by strangers, so the process bounds itself: a state
that takes more than SECONDS of CPU ends it, and so does one that takes too much memory.
"""

import json
import resource
import signal
import sys

from services.sync_worker.yjs.text import BadState, text_of

MOST_MEMORY = 512 * 1024 * 1024  # bytes of address space


def main(seconds: float) -> None:
    """Answers until nothing more comes."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            answer = {"text": text_of(line)}
        except BadState as error:
            answer = {"error": str(error)}
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
