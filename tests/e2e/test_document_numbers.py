"""A document named by owner and permlink answers to its number at the primary as well: both are one space."""

import asyncpg
import pytest

from deploy.local.stack import Stack
from tests.support.node import Node
from tests.support.people import OPERATOR, Rest

NAME = "bob/shared-draft"  # bob's and private; alice may edit it, dave may read it


@pytest.fixture
async def number(stack: Stack) -> int:
    primary = await asyncpg.connect(stack.settings["PRESENCE_PRIMARY_URL"])
    try:
        return int(await primary.fetchval("SELECT id FROM collaboration_documents WHERE permlink = 'shared-draft'"))
    finally:
        await primary.close()


async def test_the_number_leads_to_the_space_and_the_answer_names_it(stack: Stack, rest: Rest, number: int) -> None:
    alice = await rest.token("alice")

    detail = await rest.get(f"/api/spaces/document/{number}", alice)
    joined = await rest.post(f"/api/spaces/document/{number}/join", {}, alice)

    assert (detail["space_id"], joined["space"]["space_id"]) == (NAME, NAME)


async def test_comments_by_the_number_are_comments_on_the_document(stack: Stack, rest: Rest, number: int) -> None:
    alice = await rest.token("alice")
    body = {"content": "by its number", "comment_type": "comment"}

    reply = await rest.post(f"/api/documents/{number}/comments", body, alice)

    assert reply["comment"]["document_id"] == NAME
    name = NAME.replace("/", "%2F")
    by_name = await rest.get(f"/api/documents/{name}/comments", alice)
    assert [one["content"] for one in by_name["comments"] if one["id"] == reply["comment"]["id"]] == ["by its number"]


async def test_the_number_opens_nothing_that_the_name_does_not(stack: Stack, rest: Rest, number: int) -> None:
    for token in (None, await rest.token("carol")):
        for space_id in (number, NAME, 10**17):
            status, answer, _ = await rest.ask("GET", f"/api/spaces/document/{space_id}", None, token)
            assert (status, answer["code"]) == (404, "not_found")
            assert NAME not in str(answer) or space_id == NAME


async def test_sockets_that_enter_by_number_and_by_name_are_in_one_space(
    stack: Stack, rest: Rest, node: Node, number: int
) -> None:
    alice, dave = await rest.token("alice"), await rest.token("dave")
    first = await node.connect("by name", stack.url, {"transports": ["websocket"], "auth": {"token": alice}})
    second = await node.connect("by number", stack.url, {"transports": ["websocket"], "auth": {"token": dave}})
    await first.join("document", NAME)
    await second.join("document", str(number))

    assert (await second.wait_for("space-joined"))["spaceId"] == NAME
    await first.wait_for("user-joined", lambda told: bool(told["socketId"] == second.sid))


async def test_a_ban_holds_by_number_as_by_name(stack: Stack, rest: Rest, number: int) -> None:
    dave, ban = await rest.token("dave"), {"account": "dave", "reason": "rude"}
    status, _, _ = await rest.ask("POST", f"/api/spaces/document/{number}/bans", ban, OPERATOR)
    assert status in (200, 201)
    try:
        for space_id in (number, NAME):
            _, answer, _ = await rest.ask("POST", f"/api/spaces/document/{space_id}/join", {}, dave)
            assert answer["code"] == "banned"
    finally:
        await rest.ask("DELETE", f"/api/spaces/document/{NAME}/bans", ban, OPERATOR)
