"""The stand-in node speaks JSON-RPC 2.0 as the real ones do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from deploy.local.hive_node import application
from deploy.local.keys import public_key

type Node = TestClient[Any, Any]


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with TestClient(TestServer(application())) as client:
        yield client


def call(method: str, params: object, identifier: int = 1) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": identifier}


async def ask(node: Node, request: object) -> Any:
    async with node.post("/", json=request) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_an_account_has_the_posting_key_of_the_demo_password(node: Node) -> None:
    answer = await ask(node, call("condenser_api.get_accounts", [["alice", "nobody", "bob"]]))
    accounts = answer["result"]
    assert [account["name"] for account in accounts] == ["alice", "bob"]
    assert accounts[0]["posting"] == {
        "weight_threshold": 1,
        "account_auths": [],
        "key_auths": [[public_key("alice", "posting"), 1]],
    }
    assert accounts[0]["memo_key"] == public_key("alice", "memo")


async def test_an_account_may_have_another_one_in_the_place_of_a_posting_key(node: Node) -> None:
    answer = await ask(node, call("condenser_api.get_accounts", [["erin"]]))
    (erin,) = answer["result"]
    assert erin["posting"] == {"weight_threshold": 1, "account_auths": [["alice", 1]], "key_auths": []}


async def test_a_post_has_the_texts_that_the_primary_lacks(node: Node) -> None:
    answer = await ask(node, call("bridge.get_post", {"author": "alice", "permlink": "my-360-photo"}))
    post = answer["result"]
    assert post["title"].startswith("My 360 photo")
    assert post["body"]
    assert post["json_metadata"]["tags"]
    assert post["created"] == "2024-03-01T12:00:00"


async def test_a_batch_is_answered_in_order_with_errors_in_their_places(node: Node) -> None:
    answers = await ask(
        node,
        [
            call("condenser_api.get_dynamic_global_properties", [], 7),
            call("bridge.get_ranked_posts", {}, 8),
            call("bridge.get_post", {"author": "alice", "permlink": "none"}, 9),
            "nonsense",
        ],
    )
    assert [answer["id"] for answer in answers] == [7, 8, 9, None]
    assert answers[0]["result"]["head_block_number"] > 83_000_000
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32601, -32602, -32600]


async def test_a_body_that_is_no_json_gets_a_parse_error(node: Node) -> None:
    async with node.post("/", data=b"{") as answer:
        assert (await answer.json())["error"]["code"] == -32700
