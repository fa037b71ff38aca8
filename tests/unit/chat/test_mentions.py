"""Who is mentioned in a text."""

import pytest

from services.chat.rules.text_rules import MAX_MENTIONS, mentioned

CASES = [
    ("hello @alice", ["alice"]),
    ("@alice, @bob: and @alice again", ["alice", "bob"]),
    ("(@carol) @dave!", ["carol", "dave"]),
    ("thanks @alice.", ["alice"]),
    ("thanks @alice.Bye", ["alice"]),
    ("@alice-bob and @a1.b2", ["alice-bob", "a1.b2"]),
    ("@abcdefghijklmnop", ["abcdefghijklmnop"]),
    ("@abcdefghijklmnopq is longer than any account", []),
    ("@alice.abcdefghijklmnop is longer too", []),
    ("@alice_smith is no account, nor is @al", []),
    ("mail me: alice@bob.com", []),
    ("https://peakd.com/@alice", []),
    ("@Alice @1bob @-carol", []),
    ("@@alice", []),
    ("@", []),
]


@pytest.mark.parametrize(("text", "accounts"), CASES, ids=lambda value: str(value))
def test_an_at_before_an_account_name_is_a_mention(text: str, accounts: list[str]) -> None:
    assert mentioned(text) == accounts


def test_there_is_an_end_to_mentions() -> None:
    assert len(mentioned(" ".join(f"@account{n}" for n in range(100)))) == MAX_MENTIONS
