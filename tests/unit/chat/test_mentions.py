"""Who is mentioned in a text."""

import pytest

from services.chat.rules.mentions import MAX_MENTIONS, mentioned

CASES = [
    ("hello @alice", ["alice"]),
    ("@alice, @bob: and @alice again", ["alice", "bob"]),
    ("(@carol) @dave!", ["carol", "dave"]),
    ("thanks @alice.", ["alice"]),
    ("thanks @alice.Bye", ["alice"]),
    ("@alice-bob and @a1.b2", ["alice-bob", "a1.b2"]),
    ("@abcdefghijklmnop", ["abcdefghijklmnop"]),
    # text without spaces
    ("你好@bob", ["bob"]),
    ("交给@bob处理，再给@carol看", ["bob", "carol"]),
    ("@bobさん、@carolちゃん", ["bob", "carol"]),
    ("안녕@bob님", ["bob"]),
    ("привет,@bob", ["bob"]),
    ("สวัสดี@bobครับ", ["bob"]),
    # as phones and keyboards write it
    ("@Bob please, @CAROL", ["bob", "carol"]),
    ("＠bob ＠ｃａｒｏｌ", ["bob", "carol"]),
    ("﹫bob", ["bob"]),
    ("@BOB.SMITH and @Bob-Smith", ["bob.smith", "bob-smith"]),
    # marks around
    ("_@bob_ *@carol* **@dave** ~@erin~ `@frank`", ["bob", "carol", "dave", "erin", "frank"]),
    ("“@bob” «@carol» [@dave] {@erin} <@frank>", ["bob", "carol", "dave", "erin", "frank"]),
    ("hey...@bob...ok", ["bob"]),
    ("@bob…", ["bob"]),
    ("-@bob", ["bob"]),
    ("@bob’s and @carol's", ["bob", "carol"]),
    ("@bob@carol", ["bob"]),
    ("@bob/@carol", ["bob"]),
    ("@bob🎉@carol", ["bob", "carol"]),
    ("@bob--yes", ["bob"]),
    # nobody
    ("@abcdefghijklmnopq is longer than any account", []),
    ("@alice.abcdefghijklmnop is longer too", []),
    ("@alice_smith is no account, nor is @al", []),
    ("@bobby @bob.com @bob-by @bobé @bob2", ["bobby", "bob.com", "bob-by", "bob2"]),
    ("mail me: alice@bob.com, first.last+tag@bob.com, alice_@bob.com, alice-@bob", []),
    ("邮箱alice@bob.com ünï@bob", []),
    ("https://peakd.com/@alice and ipfs://x/?by=@bob#@carol", []),
    ("看https://peakd.com/@alice/x", []),
    ("peakd.com/@alice/x x.y/?by=@bob", []),
    ("@1bob @-carol @.dave", []),
    ("@@alice", []),
    ("@", []),
]


@pytest.mark.parametrize(("text", "accounts"), CASES, ids=lambda value: str(value))
def test_an_at_before_an_account_name_is_a_mention(text: str, accounts: list[str]) -> None:
    assert mentioned(text) == accounts


def test_there_is_an_end_to_mentions() -> None:
    assert len(mentioned(" ".join(f"@account{n}" for n in range(100)))) == MAX_MENTIONS
