"""The shipped rules, on texts that are hard for them."""

import pytest

from libs.common.access import DEFAULT_SETTINGS, Standing
from libs.common.bus.base import Caller
from libs.common.errors import PresenceError
from libs.common.identity import guest_identity
from libs.common.roles import Role
from libs.common.spaces import LOBBY
from services.chat.rules.blocked_words import blocked
from services.chat.rules.filters import Draft, check_all, shipped
from services.chat.rules.links import has_link
from tests.unit.chat.everyday_lines import LINES

UNWELCOME = [
    "spam", "casino", "buy now", "free coins", "sex", "ass", "hell", "bad", "kill", "idiot", "cum", "tit", "penis",
    "hure", "arsch", "puta", "culo", "merde", "pute", "дурак", "сука", "赌博", "傻瓜", "日本", "死ね", "바보",
]  # fmt: skip


def by_a_guest(text: str, words: list[str] | None = None) -> Draft:
    settings = {**DEFAULT_SETTINGS, "settings": {"blocked_words": words or UNWELCOME}}
    standing = Standing(LOBBY, True, True, Role.GUEST, False, False, settings)
    return Draft(Caller(guest_identity("0192"), "r", "203.0.113.9"), standing, text)


async def rule_that_refuses(text: str) -> str | None:
    """Returns what `rule` says in the refusal of a guest's text; None if it may be stored."""
    try:
        await check_all(shipped(), by_a_guest(text))
    except PresenceError as error:
        return str(error.details["rule"])
    return None


def test_the_everyday_lines_are_two_hundred() -> None:
    assert len(set(LINES)) == 200


@pytest.mark.parametrize("line", LINES)
async def test_no_everyday_line_is_refused(line: str) -> None:
    assert await rule_that_refuses(line) is None


LINKS = [
    "http://x", "HTTPS://x.y", "see www.x", "ipfs://bafy", "example.com", "a-b.example.org/x", "a-.net", "(x.io)",
    "x.com.", "try free-coins.shop", "casino.bet!", "well.community", "my.place.xyz", "t.me/joinchat",
    "t.me/joinchat now", "bit.ly/3x", "youtu.be/abc", "evil.zip/login", "discord.gg/abc", "münchen.de", "пример.рф",
    "例子.中国", "xn--e1afmkfd.xn--p1ai", "看这个example.com很好", "ここはexample.jpです", "example．com",
    "example。com", "exa\u200bmple.com", "ＥＸＡＭＰＬＥ.ＣＯＭ", "**example.dev**", "example.com:8080",
    "example.com?x=1", "visit example.it", "visit example.it!", "done.Now example.org", "163.com",
    "example.com.Then we go", "_example.app_", "mail me: spammer@example.com", "foo@bar.example.shop",
    "a.b.c.example.top", "a.b x.io",
]  # fmt: skip
NO_LINKS = [
    "a.b", "the .com bubble", "1.5", "e.g. this", "file.commit", "main.py", "README.md", "my.scene.zip", "clip.mov",
    "ok.so what", "nice.it is", "done.Now", "Ok.Cool", "at 5.pm", "1.de 2.fr", "@hive.fund", "thanks @steem.dao!",
    "hi...you", "v2.0.rc1", "photo.jpg", "scene.glb", "и т.д.", "г.Москва", "2.みんな", "A.公司",
    "GmbH & Co.KG", "://", "www",
    "http:", "@bob.com hello", "logger.info('x')", "foo.bar()",
]  # fmt: skip


@pytest.mark.parametrize("text", LINKS)
async def test_a_link_is_seen_with_and_without_a_scheme_and_of_any_domain(text: str) -> None:
    assert await rule_that_refuses(text) == "chat_links"


@pytest.mark.parametrize("text", NO_LINKS)
def test_a_dot_is_no_link(text: str) -> None:
    assert not has_link(text)


BLOCKED = [
    ("spam", "SPÄM!"), ("spam", "_spam_"), ("spam", "**spam**"), ("spam", "~~spam~~"), ("spam", "s p a m"),
    ("spam", "s.p.a.m"), ("spam", "S-P-A-M"), ("spam", "so s_p_a_m it is"), ("spam", "s\np\na\nm"), ("spam", "sp.am"),
    ("spam", "sp-am"), ("spam", "s🎉p🎉a🎉m"), ("spam", "ѕраm"), ("spam", "ЅРАМ"), ("spam", "spаm"), ("spam", "𝓼𝓹𝓪𝓶"),
    ("spam", "ⓢⓟⓐⓜ"), ("spam", "🅢🅟🅐🅜"), ("spam", "ｓｐａｍ"), ("spam", "sp\u200bam"), ("spam", "spa\u034fm"),
    ("spam", "s\u0336p\u0336a\u0336m\u0336"), ("spam", "ꜱᴘᴀᴍ"), ("spam", "(spam)"), ("spam", "spam's"),
    ("spam", "no#spam"), ("spam", "bitte kein „Spam“"), ("bad", "b a d"), ("bad", "u r b  a  d"), ("kill", "kiII"),
    ("kill", "KILL"), ("cool", "c00l"), ("ill", "ILL"), ("lol", "l0l"), ("SPAM", "spam"), ("Späm", "spam"),
    ("buy now", "BUY   NOW"), ("buy now", "buy-now"), ("buy now", "please buy\nnow."), ("buy now", "b u y n o w"),
    ("buy now", "buy ＮＯＷ"), ("赌博", "网上赌博网站"), ("赌博", "赌 博"), ("赌博", "赌.博"), ("赌博", "赌*博"),
    ("ばか", "おまえはばかだ"), ("ガンバ", "ｶﾞﾝﾊﾞ大阪"), ("바보", "너는 바보야"), ("바보", "바 보"),
    ("ควาย", "ไอ้ควายเอ๊ย"), ("дурак", "ну ДУРАК же"), ("дурак", "дypaк"), ("дурак", "д у р а к"),
    ("🖕", "here: 🖕🏽"), ("AV女优", "看av女优吗"), ("l33t", "l33t"), ("ass", "you @ss? no: ass"),
    ("bad", "\U0001ccd7\U0001ccd6\U0001ccd9"),
    ("straße", "STRASSE"), ("حمار", "حـمـار"), ("spam", "你好spam"), ("spam", "spam你好"), ("spam", "이거spam은"),
    ("spam", "spamです"), ("дурак", "дураk"), ("дурак", "ну и ДУРАK"), ("spam", "spaм"), ("buy now", "вuy now"),
    ("idiot", "ldiot"), ("idiot", "1diot"),
]  # fmt: skip
NOT_BLOCKED = [
    ("spam", "spamalot"), ("spam", "antispam"), ("hell", "he'll"), ("hell", "hello"), ("bum", "burn"), ("lol", "101"),
    ("ill", "111"), ("buy now", "buy it now"), ("buy now", "now buy"), ("bad", "a b d"), ("ab", "a b"),
    ("its", "it's"), ("日本", "毎日。本が"), ("はか", "ばか"), ("ばか", "はか"), ("바보", "바다를 보다"),
    ("hot", "до, ре, нот, тон"), ("нот", "it is hot"), ("fail", "they fall"), ("spam", "你好spamalot"),
    ("mad", "I'm a d.j."), ("", "anything"), ("!!!", "anything"), ("कल", "काल"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "text"), BLOCKED)
def test_a_blocked_word_is_seen_where_people_see_it(word: str, text: str) -> None:
    assert blocked((word,)).is_in(text)


@pytest.mark.parametrize(("word", "text"), NOT_BLOCKED)
def test_another_word_is_not_taken_for_a_blocked_one(word: str, text: str) -> None:
    assert not blocked((word,)).is_in(text)


async def test_a_refusal_says_which_rule_it_is() -> None:
    assert await rule_that_refuses("www.x") == "chat_links"
    assert await rule_that_refuses("so b a d") == "blocked_words"
    rules, said = shipped(), by_a_guest("the same")
    for _ in range(10):
        await check_all(rules, said)
    with pytest.raises(PresenceError) as caught:
        await check_all(rules, said)
    assert caught.value.details["rule"] == "flood"


@pytest.mark.parametrize("piece", ["a-", "a.", "@", "a.com很", "a b ", "_", "www", "'a", "s p_"])
def test_looking_for_links_and_words_ends_however_many_a_text_has(piece: str) -> None:
    """In quadratic time this would not, before the run's limit for a test."""
    text = piece * 50_000
    has_link(text)
    assert not blocked(("spam", "赌博")).is_in(text)
