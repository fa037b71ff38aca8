"""The catalogue of errors is the contract's."""

import json
from pathlib import Path

import pytest

from libs.common.errors import CATALOGUE, CONFLICT, INTERNAL, SPACE_FULL, PresenceError

PROMISED = {
    "invalid_input": 400, "unauthorized": 401, "session_expired": 401, "forbidden": 403, "banned": 403, "muted": 403,
    "not_found": 404, "conflict": 409, "too_large": 413, "rate_limited": 429, "slow_mode": 429, "space_full": 429,
    "internal": 500, "unavailable": 503,
}  # fmt: skip
WORTH_A_RETRY = {"rate_limited", "slow_mode", "space_full", "unavailable"}
REASONS_FOR_A_DISCONNECT = {"too_slow", "kicked", "draining"}


@pytest.mark.parametrize(("code", "status"), PROMISED.items())
def test_each_code_has_the_status_it_promised(code: str, status: int) -> None:
    assert (CATALOGUE[code].code, CATALOGUE[code].status) == (code, status)
    assert CATALOGUE[code].temporary is (code in WORTH_A_RETRY)


def test_the_reasons_for_a_disconnect_are_there() -> None:
    assert CATALOGUE.keys() >= REASONS_FOR_A_DISCONNECT


def test_every_error_that_is_made_is_in_the_catalogue() -> None:
    """`ErrorCode(` is called in errors.py and nowhere else, so that a client can know every code."""
    root = Path(__file__).parents[3]
    makers = [
        str(file.relative_to(root))
        for folder in ("libs", "services")
        for file in (root / folder).rglob("*.py")
        if "ErrorCode(" in file.read_text()
    ]
    assert makers == ["libs/common/errors.py"]


def test_an_error_survives_the_wire() -> None:
    error = PresenceError(SPACE_FULL, "No room.", {"capacity": {"used": 2, "total": 2}})
    again = PresenceError.from_wire(json.loads(json.dumps(error.to_wire())))
    assert (again.kind, again.text, again.details) == (error.kind, error.text, error.details)


def test_an_error_without_words_has_the_catalogues_and_no_details() -> None:
    assert PresenceError(CONFLICT).to_wire() == {"error": CONFLICT.text, "code": "conflict"}


def test_a_code_of_a_newer_version_is_internal_and_keeps_its_words() -> None:
    error = PresenceError.from_wire({"code": "from_the_future", "error": "Later."})
    assert (error.kind, error.text) == (INTERNAL, "Later.")
