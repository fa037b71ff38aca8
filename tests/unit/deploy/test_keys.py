"""The test accounts' keys are Hive's, and the signatures are Keychain's: two libraries agree on both."""

import hashlib
import json

import pytest
from coincurve import PublicKey
from wax import create_wax_foundation

from deploy.local.keys import ACCOUNTS, PASSWORD, is_canonical, private_key, public_key, sign
from deploy.local.sign import challenge_text, login_body

TEXT = "presence login\naccount: alice\nnonce: 3f9a"


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_key_derived_by_hand_is_the_one_that_wax_derives(account: str) -> None:
    digest = hashlib.sha256(TEXT.encode())
    recovered = create_wax_foundation().get_public_key_from_signature(
        digest.hexdigest(), sign(TEXT, private_key(account))
    )
    assert str(recovered) == public_key(account, "posting")


def test_a_signature_is_verified_by_coincurve_too() -> None:
    key = private_key("bob")
    signature = bytes.fromhex(sign(TEXT, key))
    recoverable = signature[1:] + bytes([signature[0] - 31])
    assert PublicKey.from_signature_and_message(recoverable, TEXT.encode()) == key.public_key


def test_every_signature_is_canonical_and_has_a_header_that_says_compressed() -> None:
    key = private_key("carol")
    for number in range(200):
        signature = bytes.fromhex(sign(f"text {number}", key))
        assert len(signature) == 65
        assert 31 <= signature[0] <= 34
        assert is_canonical(signature)


def test_another_role_or_password_is_another_key() -> None:
    keys = {public_key("alice", role) for role in ("posting", "active", "owner", "memo")}
    keys.add(public_key("alice", "posting", PASSWORD + "!"))
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("plain\n", "plain"),
        ("two\nlines", "two\nlines"),
        (json.dumps({"challenge": "from the API", "expires_at": "later"}), "from the API"),
        ('{"other": 1}', '{"other": 1}'),
        ("12", "12"),
    ],
)
def test_the_challenge_may_be_given_as_text_or_as_the_apis_answer(given: str, text: str) -> None:
    assert challenge_text(given) == text


def test_the_body_of_a_login_carries_what_was_signed() -> None:
    body = json.loads(login_body("alice", TEXT, "ab" * 65))
    assert body == {"account": "alice", "challenge": TEXT, "signature": "ab" * 65}
