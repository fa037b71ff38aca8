"""The npm package `@dlux/presence` in Node against the whole stack; the sentences are in clients/js/test/live."""

from deploy.local.stack import Stack
from tests.support.library import built, run_tests


async def test_two_people_meet_by_the_library(stack: Stack) -> None:
    built()
    code, output = await run_tests("live/enter.test.mjs", PRESENCE_URL=stack.url, PRESENCE_SPACE="event:library-meets")
    assert code == 0, output
