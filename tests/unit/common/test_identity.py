"""An identity on the bus: its JSON keeps the names that replicas of other versions know."""

import pytest

from libs.common.bus.base import Caller
from libs.common.identity import Identity

ALICE = Identity("account", "alice", "Alice", token_id="token-1", login_id="login-1")


def test_a_caller_survives_the_wire_with_the_login_under_its_older_name() -> None:
    wire = Caller(ALICE, "request-1", "203.0.113.9").to_wire()
    assert wire == {
        "identity": {
            "kind": "account",
            "id": "alice",
            "display_name": "Alice",
            "operator": False,
            "token_id": "token-1",
            "session_id": "login-1",
        },
        "request_id": "request-1",
        "address": "203.0.113.9",
    }
    assert Caller.from_wire(wire) == Caller(ALICE, "request-1", "203.0.113.9")


@pytest.mark.parametrize("fields", ["alice", None, {"kind": "account"}, {**ALICE.to_wire(), "shoe_size": 43}])
def test_malformed_fields_are_a_type_error(fields: object) -> None:
    with pytest.raises(TypeError):
        Identity.from_wire(fields)  # type: ignore[arg-type]
