"""From a text and a signature to the key that signed: two libraries must agree, and junk gets nowhere."""

import hashlib

import pytest
from coincurve import PrivateKey

from deploy.local.keys import COMPACT_COMPRESSED, private_key, public_key, sign
from libs.common.errors import UNAUTHORIZED, PresenceError
from services.spaces_auth.login.hive_authority import Authority, Check, recover_key

# Made by another library (FINDINGS.md).
KEY = "STM86r3tLh3toGqy99ua4kVEoJXGXRA1MKXFshZJVu45P1XfFwfah"
TEXT = "dlux_vr_1700000000000_abcdefghi"
SIGNATURE = (
    "2007ea0cb77ea02bd73b266dfb84812c016fb605dbfc9b82ffc8430e4df245ab28"
    "3e775ad11a087f5ddd8e78dd7437fe60d4250ca8b2af26a27bfc018dc1da7b8d"
)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_another_librarys_vector() -> None:
    assert recover_key(TEXT, SIGNATURE) == KEY
    assert recover_key(TEXT, SIGNATURE.upper()) == KEY


def test_two_hundred_signatures_of_a_second_implementation() -> None:
    key, expected = private_key("alice"), public_key("alice", "posting")
    for number in range(200):
        text = f"Sign in, héllo {number} 👋"
        assert recover_key(text, sign(text, key)) == expected


def test_another_text_gives_another_key_or_none() -> None:
    assert recovered(TEXT + "!", SIGNATURE) != KEY


def recovered(text: str, signature: str) -> str | None:
    try:
        return recover_key(text, signature)
    except PresenceError:
        return None


JUNK = {
    "64 bytes": SIGNATURE[:-2],
    "66 bytes": SIGNATURE + "00",
    "empty": "",
    "not hexadecimal": "zz" * 65,
    "a newline at its end": SIGNATURE[:-1] + "\n",
    "one too many with a newline": SIGNATURE + "\n",
    "a prefix": "0x" + SIGNATURE[2:],
    "digits of another script": "٣" * 130,
    "recovery of an uncompressed key": "1b" + SIGNATURE[2:],
    "a header too high": "23" + SIGNATURE[2:],
    "zeros": "1f" + "0" * 128,
    "beyond the curve's order": "1f" + "f" * 128,
    "r of zero": "1f" + "0" * 64 + SIGNATURE[66:],
    "s of zero": SIGNATURE[:66] + "0" * 64,
}


@pytest.mark.parametrize("signature", JUNK.values(), ids=JUNK.keys())
def test_junk_is_unauthorized(signature: str) -> None:
    with pytest.raises(PresenceError) as raised:
        recover_key(TEXT, signature)
    assert raised.value.kind is UNAUTHORIZED


def test_a_high_s_is_no_second_signature() -> None:
    """Whoever saw one signature could make the mirrored one; Hive takes the canonical only."""
    header, r, s = int(SIGNATURE[:2], 16), SIGNATURE[2:66], int(SIGNATURE[66:], 16)
    mirrored = f"{COMPACT_COMPRESSED + ((header - COMPACT_COMPRESSED) ^ 1):02x}{r}{ORDER - s:064x}"
    assert recovered(TEXT, mirrored) is None


def test_a_key_of_ones_own_is_only_ones_own() -> None:
    mallory = PrivateKey(hashlib.sha256(b"mallory").digest())
    assert recover_key(TEXT, sign(TEXT, mallory)) != public_key("alice", "posting")


@pytest.mark.parametrize(
    ("threshold", "weight", "allowed"),
    [(1, 1, True), (2, 1, False), (2, 3, True), (1, 0, False), (0, 0, False), (0, 1, False)],
)
def test_a_key_counts_when_its_weight_reaches_the_threshold(threshold: int, weight: int, allowed: bool) -> None:
    assert satisfied(Authority(threshold, {KEY: weight})) is allowed


def test_a_key_that_is_not_named_never_counts() -> None:
    assert not satisfied(Authority(1, {}))
    assert not satisfied(Authority(0, {}))


def satisfied(alice: Authority, depth: int = 2, **others: Authority) -> bool:
    return Check({"alice": alice, **others}, {KEY}, depth).satisfies("alice")


def test_an_account_that_was_approved_once_counts_wherever_it_is_named() -> None:
    """As in Hive, also where it stands too deep to be looked at by itself."""
    bob, carol, dave = Authority(1, {KEY: 1}), Authority(1, {}, {"dave": 1}), Authority(1, {}, {"bob": 1})
    assert satisfied(Authority(2, {}, {"bob": 1, "carol": 1}), bob=bob, carol=carol, dave=dave)
    assert not satisfied(Authority(1, {}, {"carol": 1}), bob=bob, carol=carol, dave=dave)


def test_an_account_counts_once_with_its_weight_and_only_when_its_own_threshold_is_reached() -> None:
    assert satisfied(Authority(3, {KEY: 1}, {"bob": 2}), bob=Authority(1, {KEY: 1}))
    assert not satisfied(Authority(3, {KEY: 1}, {"bob": 2}), bob=Authority(2, {KEY: 1}))
    assert not satisfied(Authority(3, {KEY: 1}, {"bob": 1}), bob=Authority(1, {KEY: 1}))


def test_without_depth_keys_alone_count() -> None:
    assert not satisfied(Authority(1, {}, {"bob": 1}), depth=0, bob=Authority(1, {KEY: 1}))
