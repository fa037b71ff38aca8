"""The npm package `@dlux/presence` in Node against the whole stack; the sentences are in clients/js/test/live."""

import pytest

from deploy.local.stack import Stack
from tests.support.library import built, run_tests

LIVE = {
    "enter": "library-meets",
    "things": "library-things",
    "vue": "library-vue",
    "readme": "-",
}  # a file, and the hall it has to itself


@pytest.mark.parametrize("name", LIVE)
async def test_the_library_keeps_what_it_says_against_the_whole_stack(stack: Stack, name: str) -> None:
    built()
    place = {"PRESENCE_URL": stack.url, "PRESENCE_SPACE": f"event:{LIVE[name]}"}
    code, output = await run_tests(f"live/{name}.test.mjs", **place)
    assert code == 0, output
