"""`python -m deploy.local.hive_node PORT`: a stand-in for a Hive node, with the test accounts and the sample posts.

JSON-RPC 2.0, single and batch, the few methods that Presence asks for, in the real node's shapes. The same process is
the stand-in for an IPFS gateway.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aiohttp import web

from deploy.local.ipfs import gateway
from deploy.local.ipfs.metadata import json_metadata
from deploy.local.keys import ACCOUNTS, DELEGATES, public_key
from deploy.local.primary.content import FIRST, FIRST_BLOCK, Post, posts

KNOWN = (*ACCOUNTS, *DELEGATES)
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
TIME = "%Y-%m-%dT%H:%M:%S"  # Hive's times are UTC and do not say so


class RpcError(Exception):
    """An answer with `error` instead of `result`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def get_accounts(params: Any) -> list[dict[str, Any]]:
    """condenser_api.get_accounts [[name, ...]]: the known ones; an unknown name is left out, as the real node does."""
    if not (isinstance(params, list) and params and isinstance(params[0], list)):
        raise RpcError(INVALID_PARAMS, "Invalid parameters: expected [[name, ...]]")
    return [account(name) for name in params[0] if name in KNOWN]


@cache
def account(name: str) -> dict[str, Any]:
    """An account as condenser_api shows it, with keys derived from the demo password."""
    return {
        "id": 1_000_000 + KNOWN.index(name),
        "name": name,
        "owner": authority(public_key(name, "owner")),
        "active": authority(public_key(name, "active")),
        "posting": delegated(DELEGATES[name]) if name in DELEGATES else authority(public_key(name, "posting")),
        "memo_key": public_key(name, "memo"),
        "json_metadata": "{}",
        "posting_json_metadata": json.dumps({"profile": {"name": name.title(), "about": "A test account."}}),
        "proxy": "",
        "created": "2020-03-20T14:00:00",
        "mined": False,
        "post_count": sum(post.author == name for post in posts()),
        "balance": "10.000 HIVE",
        "hbd_balance": "1.000 HBD",
        "vesting_shares": "20000.000000 VESTS",
        "reputation": 0,
    }


def authority(key: str) -> dict[str, Any]:
    """One key that suffices by itself."""
    return {"weight_threshold": 1, "account_auths": [], "key_auths": [[key, 1]]}


def delegated(account: str) -> dict[str, Any]:
    """Another account's posting authority, and no key."""
    return {"weight_threshold": 1, "account_auths": [[account, 1]], "key_auths": []}


def get_post(params: Any) -> dict[str, Any]:
    """bridge.get_post {author, permlink}."""
    named = params if isinstance(params, dict) else {}
    post = _by_name().get((named.get("author"), named.get("permlink")))
    if post is None:
        raise RpcError(INVALID_PARAMS, f"Post {named.get('author')}/{named.get('permlink')} does not exist")
    return {
        "post_id": post.block,
        "author": post.author,
        "permlink": post.permlink,
        "category": post.tags[0],
        "title": post.title,
        "body": post.body,
        "json_metadata": json_metadata(post),
        "created": post.created.strftime(TIME),
        "updated": post.created.strftime(TIME),
        "depth": 0,
        "children": 0,
        "net_rshares": post.voteweight,
        "is_paidout": post.paid,
        "payout": 0.0,
        "author_reputation": 60.0,
        "stats": {"hide": False, "gray": False, "total_votes": post.votes, "flag_weight": 0.0},
        "url": f"/{post.tags[0]}/@{post.author}/{post.permlink}",
        "beneficiaries": [],
        "max_accepted_payout": "1000000.000 HBD",
        "percent_hbd": 10000,
        "active_votes": [],
    }


COMMUNITIES = {
    "hive-123456": ("Virtual Reality", "Worlds to walk in.", {"alice": "owner", "bob": "admin", "carol": "mod"}),
    "hive-654321": ("Sculpture", "Marble and pixels.", {"bob": "owner"}),
}


def get_community(params: Any) -> dict[str, Any]:
    """bridge.get_community {name, observer}; the team as [account, role, title], the community's own account first."""
    name = params.get("name") if isinstance(params, dict) else None
    if name not in COMMUNITIES:
        raise RpcError(INVALID_PARAMS, f"Community {name} does not exist")
    title, about, team = COMMUNITIES[name]
    return {
        "name": name,
        "title": title,
        "about": about,
        "description": about,
        "flag_text": "",
        "lang": "en",
        "is_nsfw": False,
        "type_id": 1,
        "created_at": "2020-03-24 14:00:00",
        "subscribers": 3,
        "num_pending": 0,
        "context": {},
        "team": [[name, "owner", ""], *([account, role, ""] for account, role in team.items())],
    }


@cache
def _by_name() -> dict[tuple[Any, Any], Post]:
    return {(post.author, post.permlink): post for post in posts()}


def get_dynamic_global_properties(_params: Any) -> dict[str, Any]:
    """condenser_api.get_dynamic_global_properties: a head block that moves as Hive's does, one every 3 seconds."""
    now = datetime.now(UTC)
    head = FIRST_BLOCK + int((now - FIRST).total_seconds()) // 3
    return {
        "head_block_number": head,
        "head_block_id": f"{head:08x}" + "0" * 32,
        "time": now.strftime(TIME),
        "current_witness": "presence",
        "last_irreversible_block_num": head - 1,
        "hbd_interest_rate": 1500,
    }


METHODS: dict[str, Callable[[Any], Any]] = {
    "condenser_api.get_accounts": get_accounts,
    "condenser_api.get_dynamic_global_properties": get_dynamic_global_properties,
    "bridge.get_post": get_post,
    "bridge.get_community": get_community,
}


def answer(request: Any) -> dict[str, Any]:
    """The answer to one JSON-RPC request."""
    identifier = request.get("id") if isinstance(request, dict) else None
    try:
        return {"jsonrpc": "2.0", "result": _call(request), "id": identifier}
    except RpcError as error:
        return {"jsonrpc": "2.0", "error": {"code": error.code, "message": str(error)}, "id": identifier}


def _call(request: Any) -> Any:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise RpcError(INVALID_REQUEST, "Invalid Request")
    method = METHODS.get(request["method"])
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, f"Could not find method {request['method']}")
    return method(request.get("params", []))


async def handle(request: web.Request) -> web.Response:
    """POST /: one request or a batch."""
    try:
        asked = json.loads(await request.text())
    except ValueError:
        error = {"code": PARSE_ERROR, "message": "Parse error"}
        return web.json_response({"jsonrpc": "2.0", "error": error, "id": None})
    return web.json_response([answer(one) for one in asked] if isinstance(asked, list) else answer(asked))


async def health(_request: web.Request) -> web.Response:
    """GET /: as the real nodes, something to see in a browser."""
    return web.json_response({"status": "OK", "stand_in": True, "accounts": list(KNOWN)})


def application() -> web.Application:
    """The node as an aiohttp application."""
    app = web.Application()
    app.add_routes([web.post("/", handle), web.get("/", health), *gateway.routes])
    return app


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
