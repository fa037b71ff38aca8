"""The door of an admission (`session_token` of a join): it opens one space, and ends itself alone."""

from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.support.people import Rest

OWN = {"space_type": "post", "space_id": "alice/my-360-photo"}
COMMENTS = "/api/documents/123/comments"  # of a private document that alice may comment on


@pytest.fixture
async def admission(rest: Rest) -> str:
    """Alice's, for her own post."""
    joined = await rest.post("/api/spaces/post/alice/my-360-photo/join", {}, await rest.token("alice"))
    return str(joined["session_token"])


@pytest.fixture
async def comment(rest: Rest) -> str:
    """One of alice's on the document, made with her login."""
    made = await rest.post(COMMENTS, {"content": "mine", "comment_type": "question"}, await rest.token("alice"))
    return str(made["comment"]["id"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"content": "in"}),
        ("PATCH", "/{id}", {"content": "in"}),
        ("POST", "/{id}/resolve", {}),
        ("POST", "/{id}/reopen", {}),
        ("DELETE", "/{id}", {}),
    ],
)
async def test_naming_its_own_space_besides_opens_no_other_documents_comments(
    stack: Stack, rest: Rest, admission: str, comment: str, method: str, path: str, body: dict[str, Any]
) -> None:
    status, answer, _ = await rest.ask(method, COMMENTS + path.format(id=comment), {**body, **OWN}, admission)
    assert (status, answer["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["", "/{id}"])
async def test_naming_its_own_space_in_the_query_opens_no_reading_either(
    stack: Stack, rest: Rest, admission: str, comment: str, path: str
) -> None:
    query = "&".join(f"{name}={value}" for name, value in OWN.items())
    status, answer, _ = await rest.ask("GET", f"{COMMENTS}{path.format(id=comment)}?{query}", token=admission)
    assert (status, answer["code"]) == (403, "forbidden")


async def test_logging_an_admission_out_ends_it_and_not_the_login(stack: Stack, rest: Rest) -> None:
    login = await rest.login("alice")
    joined = await rest.post("/api/spaces/post/alice/my-360-photo/join", {}, login["token"])
    await rest.post("/api/auth/logout", {}, joined["session_token"])
    status, _, _ = await rest.ask("GET", "/api/auth/me", token=joined["session_token"])
    assert status == 401
    assert (await rest.get("/api/auth/me", login["token"]))["account"] == "alice"
    assert (await rest.post("/api/auth/refresh", {"refresh_token": login["refresh_token"]}))["account"] == "alice"


async def test_logging_a_login_out_ends_its_admissions(stack: Stack, rest: Rest) -> None:
    login = await rest.login("alice")
    joined = await rest.post("/api/spaces/post/alice/my-360-photo/join", {}, login["token"])
    again = await rest.post("/api/spaces/post/alice/my-360-photo/join", {}, joined["session_token"])
    await rest.post("/api/auth/logout", {}, login["token"])
    for token in (joined["session_token"], again["session_token"]):
        status, _, _ = await rest.ask("GET", "/api/auth/me", token=token)
        assert status == 401
