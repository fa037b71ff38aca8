"""`python -m services.sync_worker.yjs SECONDS BYTES`: reads Yjs states and says their texts, each in a line.

The text is in a line of JSON: `{text}` or `{error}`. Strangers wrote the states, so the process bounds itself: one that
takes more than SECONDS of CPU, or has it need more than BYTES of address space, ends it.
"""

import json
import resource
import signal
import sys

from services.sync_worker.yjs.text import BadState, text_of


def main(seconds: float, memory: int) -> None:
    """Answers until nothing more comes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
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
    main(float(sys.argv[1]), int(sys.argv[2]))
