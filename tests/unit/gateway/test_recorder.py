"""What holds servers to the documents in every test of the whole: it finds what is not as they say."""

from typing import Any

import pytest

from tests.support.contract import fault_of_ack, fault_of_answer, fault_of_event, fault_of_taken

LEFT = {"socketId": "r1-x", "userAccount": None, "reason": "left", "timestamp": "2026-01-01T00:00:00Z"}
THING = {"id": "ball", "version": 7, "state": {}, "holder": None, "creator": "ann"}
REFUSED = {"error": "There is none.", "code": "not_found"}


def test_events_acks_and_answers_as_they_are_described_are_taken() -> None:
    assert fault_of_event("user-left", LEFT) is None
    assert fault_of_ack("thing-make", {"ok": True, "thing": THING}) is None
    assert fault_of_ack("thing-make", {"ok": False, **REFUSED}) is None
    assert fault_of_ack("no-such-event", {"ok": False, **REFUSED}) is None
    assert fault_of_answer("GET", "/api/spaces/post/bob/a?x=1", 404, {**REFUSED, "request_id": "1"}) is None
    assert fault_of_answer("GET", "/nowhere", 404, {}) is None


@pytest.mark.parametrize(
    ("event", "data"), [("user-left", {**LEFT, "reason": 1}), ("user-left", {}), ("no-such-event", {})]
)
def test_an_event_that_is_not_described_is_found(event: str, data: Any) -> None:
    assert fault_of_event(event, data)


@pytest.mark.parametrize(
    ("event", "ack"),
    [
        ("thing-make", {"ok": True}),
        ("thing-make", {"ok": True, "thing": {**THING, "version": "7"}}),
        ("thing-make", {"ok": False, "error": "No.", "code": "of its own"}),
        ("chat-message", {"ok": True, "message": {"id": 1}}),
        ("no-such-event", {"error": "No."}),
    ],
)
def test_an_ack_that_is_not_described_is_found(event: str, ack: Any) -> None:
    assert fault_of_ack(event, ack)


def test_what_a_server_took_though_it_is_not_described_is_found() -> None:
    assert (
        fault_of_taken("chat-reaction", {"messageId": "0198c0de-0000-7000-8000-000000000001", "reaction": "👍"}) is None
    )
    assert fault_of_taken("leave-space", None) is None
    assert fault_of_taken("thing-hold", {"name": "ball"})
    login = {"account": "ann", "challenge": "c", "signature": "s"}
    told = {"token": "t", "refresh_token": "r", "expires_at": "2026-01-01T00:00:00Z", "account": "ann"}
    assert "took" in str(fault_of_answer("POST", "/api/auth/login", 200, told, {**login, "account": 7}))


@pytest.mark.parametrize(
    ("status", "body"), [(200, {}), (204, {}), (404, REFUSED), (404, {**REFUSED, "request_id": "1", "code": "none"})]
)
def test_a_rest_answer_that_is_not_described_is_found(status: int, body: Any) -> None:
    assert fault_of_answer("GET", "/api/spaces/post/bob/a", status, body)
