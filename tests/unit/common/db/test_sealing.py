"""Secrets at rest."""

import base64
import os

import pytest

from libs.common.db.sealing import SealBroken, Sealer


def a_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


SEALER = Sealer(a_key())
SEALED = SEALER.seal(b"the secret", "row-1")


def test_a_sealed_secret_opens_for_its_owner() -> None:
    assert SEALER.open(SEALED, "row-1") == b"the secret"


def test_sealing_twice_gives_different_bytes_and_shows_nothing() -> None:
    assert SEALER.seal(b"the secret", "row-1") != SEALED
    assert b"secret" not in SEALED


def test_another_owner_cannot_open_it() -> None:
    with pytest.raises(SealBroken, match="row-2"):
        SEALER.open(SEALED, "row-2")


def test_another_key_cannot_open_it() -> None:
    with pytest.raises(SealBroken):
        Sealer(a_key()).open(SEALED, "row-1")


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_a_changed_byte_breaks_the_seal(position: int) -> None:
    damaged = bytearray(SEALED)
    damaged[position] ^= 1
    with pytest.raises(SealBroken):
        SEALER.open(bytes(damaged), "row-1")


@pytest.mark.parametrize("length", [0, 5, 11, 12, 20, len(SEALED) - 1])
def test_a_cut_off_seal_is_broken(length: int) -> None:
    with pytest.raises(SealBroken):
        SEALER.open(SEALED[:length], "row-1")
