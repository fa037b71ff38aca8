"""The npm package `@dlux/presence` in Node against the whole stack; the sentences are in clients/js/test/live."""

import pytest

from deploy.local.stack import Stack
from tests.support.library import built, run_tests
from tests.support.stack_tokens import signed_token

LIVE = {  # a file, and the hall it has to itself
    "enter": "library-meets",
    "lost": "library-lost",
    "readme": "-",
    "rights": "-",
    "things": "library-things",
    "vue": "library-vue",
}
SHORT, LONG = 10, 600  # seconds of a token


@pytest.mark.parametrize("name", LIVE)
async def test_the_library_keeps_what_it_says_against_the_whole_stack(stack: Stack, name: str) -> None:
    await keeps(stack, name, f"event:{LIVE[name]}")


async def test_the_library_renews_a_token_once_and_gives_a_new_one_to_an_open_connection(stack: Stack) -> None:
    tokens = [await signed_token(stack, "alice", seconds) for seconds in (SHORT, SHORT, LONG)]
    given = {"PRESENCE_TOKENS": " ".join(tokens), "PRESENCE_SECONDS": str(SHORT)}
    await keeps(stack, "tokens", "event:library-tokens", **given)


async def keeps(stack: Stack, name: str, space: str, **environment: str) -> None:
    built()
    place = {"PRESENCE_URL": stack.url, "PRESENCE_SPACE": space}
    code, output = await run_tests(f"live/{name}.test.mjs", **place, **environment)
    assert code == 0, output
