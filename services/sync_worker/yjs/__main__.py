"""`python -m services.sync_worker.yjs`: reads Yjs states, one a line, and answers each with a line of JSON.

An answer is `{text}` or `{error}`. The process bounds itself: what it is given was written by strangers.
"""

import json
import resource
import sys

from services.sync_worker.yjs.text import BadState, text_of

MOST_MEMORY = 512 * 1024 * 1024  # bytes of address space


def main() -> None:
    """Answers until nothing more comes."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        try:
            answer = {"text": text_of(line)}
        except BadState as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
