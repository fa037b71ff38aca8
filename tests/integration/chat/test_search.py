"""Searching messages finds what people write, in their script, on a server whose locale is C."""

import asyncpg
import pytest

from libs.common.contracts.chat import MAX_CONTENT
from services.chat.messages.message_pages_repository import WINDOW
from tests.integration.chat.world import World
from tests.support.servers import Servers

FOUND = [
    # case
    ("Grüße aus KÖLN", "köln"), ("ЁЛКА горит", "ёлка"), ("Η ΟΔΟΣ ΕΙΝΑΙ ΕΔΩ", "οδός"), ("İSTANBUL'da", "istanbul"),
    ("STRASSE", "straße"), ("Ⓦⓞⓡⓛⓓ ｗｉｄｅ", "world wide"),
    # accents, also those that are written as characters of their own
    ("un café noir", "cafe"), ("naive question", "naïve"), ("cafe\u0301 crème", "café"), ("Đà Nẵng", "da nang"),
    ("smørrebrød", "smorrebrod"), ("łódź", "lodz"), ("مَرْحَبًا بكم", "مرحبا"), ("שָׁלוֹם לכם", "שלום"),
    # marks beside a word
    ("er sagte „Servus“ zweimal", "servus"), ("it’s fine", "it's"), ("ready…or not", "ready"),
    ("party🥳time", "party"), ("yes—maybe", "maybe"), ("¡vamos!", "vamos"), ("«привет»,—сказал он", "привет"),
    ("one\u202ftwo\u3000three", "three"), ("(brackets)[and]{more}", "and"),
    ("_slanted_ *bold* ~gone~", "slanted bold gone"), ("soft\u00adhyphen", "softhyphen"), ("re\u200bsult", "result"),
    ("price: 5€, or 7$", "7"), ("a|b", "b"), ("नमस्ते।फिर", "नमस्ते"), ("#vr and @bob", "bob"),
    # parts of links, paths and names of files
    ("see https://dlux.io/@alice/my-360-photo?x=1#top", "dlux.io"), ("post/alice/my-360-photo", "my-360-photo"),
    ("post/alice/my-360-photo", "photo"), ("new scene.glb here", "scene"), ("new scene.glb here", "glb"),
    ("new scene.glb here", "scene.glb"), ("models/chair_v2.final.gltf", "chair"), ("mail bob@example.com", "example"),
    # scripts without spaces, and Korean with particles
    ("今天上海天气很好", "上海"), ("今天上海天气很好", "天气很好"), ("今天上海天气很好", "好"),
    ("今天上海天气很好", "今"), ("2024年上海", "2024年"), ("我的VR头盔坏了", "vr头盔"),
    ("明日は東京タワーに行きます", "東京タワー"), ("ｶﾞﾝﾀﾞﾑが好き", "ガンダム"), ("ばかではない", "ばか"),
    ("พรุ่งนี้ไปเชียงใหม่กันไหม", "เชียงใหม่"), ("ຂ້ອຍຢູ່ວຽງຈັນ", "ວຽງຈັນ"), ("서울에서 만나요", "서울"),
    ("မြန်မာနိုင်ငံ၊ရန်ကုန်", "ရန်ကုန်"), ("ខ្ញុំនៅភ្នំពេញ", "ភ្នំពេញ"), ("𠮷野家で", "𠮷野家"),
    # emoji
    ("well done 👍🏽", "👍"), ("❤️ it", "❤"),
    # what a query can say
    ("one two three", '"two three"'), ("one two three", "“two three”"), ("one two three", "three -four"),
    ("one two three", "four or two"), ("one two three", "-four or two"), ("one two three", "three one"),
    ("don't panic", '"don’t panic"'),
]  # fmt: skip
NOT_FOUND = [
    ("hello world", "hell"), ("spamalot", "spam"), ("one two three", "two -three"), ("one two three", '"three two"'),
    ("one two three", "one four"), ("今天上海天气", "海上"), ("上 海", "上海"), ("东方。明珠", "方明"),
    ("はか", "ばか"), ("my photo of 360 degrees", "my-360-photo"), ("hello", "…"), ("hello", '"'), ("hello", "- !"),
    ("कल", "काल"),
    # what is only excluded would be everything else
    ("hello world", "-four"), ("hello world", "-four or -five"),
]  # fmt: skip


@pytest.fixture
def world(module_world: World) -> World:
    return module_world


async def found(world: World, q: str, **request: object) -> list[str | None]:
    return [message.content for message in (await world.page(q=q, **request)).messages]  # type: ignore[arg-type]


@pytest.mark.parametrize(("content", "q"), FOUND)
async def test_a_search_finds_a_message(world: World, content: str, q: str) -> None:
    await world.post(f"something else {FOUND.index((content, q))}x, другое, 别的")
    await world.post(content)
    assert await found(world, q) == [content]


@pytest.mark.parametrize(("content", "q"), NOT_FOUND)
async def test_a_search_does_not_find_another(world: World, content: str, q: str) -> None:
    await world.post(f"{content} ")
    assert await found(world, q) == []


async def test_the_words_of_an_edit_are_found_and_those_before_it_not(world: World) -> None:
    message = await world.post("Привет")
    await world.edit(message, "東京で")
    assert (await found(world, "привет"), await found(world, "東京")) == ([], ["東京で"])


async def test_nothing_of_a_deleted_message_is_found_or_kept(world: World) -> None:
    await world.delete(await world.post("ein Geheimnis"))
    assert await found(world, "geheimnis") == []
    assert [row.search for row in await world.owner.sql("SELECT search::text FROM chat_messages")] == [""]


async def test_a_page_of_hits_goes_on_where_it_ended(world: World) -> None:
    for n in range(5):
        await world.post(f"{n} Grüße")
        await world.post(f"{n} other")
    first = await world.page(q="grüsse", limit=3)
    rest = await world.page(q="grüsse", limit=3, cursor=first.next_cursor)
    assert [m.content for m in first.messages] == ["2 Grüße", "3 Grüße", "4 Grüße"]
    assert [m.content for m in rest.messages] == ["0 Grüße", "1 Grüße"]
    assert not rest.has_more


@pytest.mark.parametrize("q", ["“Straßenbahn”", "電車", "電", "tram-stop.jpg", "bahn or 電車"])
async def test_an_old_message_is_found_behind_very_many(world: World, q: str) -> None:
    old = await world.post("Straßenbahn, 東京の電車: tram-stop.jpg")
    await world.owner.sql(
        f"""INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type,
              content, client_message_id, created_at, updated_at)
            SELECT (left('{old.id}', 24) || lpad(n::text, 12, '0'))::uuid, 100 + n, 'post', 'bob/hall', 'main',
              'guest:g', 'Guest', 'text', 'number ' || n, n::text, now(), now()
            FROM generate_series(1, {WINDOW + 10}) n"""
    )
    assert await found(world, q) == [old.content]


@pytest.mark.parametrize("letter", ["\ufdfa", "a", "字", "a b ", "😀", "가", "ｶﾞ", "\u0e33"])
async def test_there_is_an_end_to_the_terms_of_a_message(world: World, letter: str) -> None:
    """U+FDFA is eighteen letters when it is written out."""
    await world.post((letter * MAX_CONTENT)[:MAX_CONTENT].strip())
    (row,) = await world.owner.sql("SELECT length(search) AS terms, pg_column_size(search) AS size FROM chat_messages")
    assert row.terms <= 2000
    assert row.size < 20_000


async def test_every_word_of_the_longest_message_is_found(world: World) -> None:
    sentence = "".join(chr(0x4E00 + n) for n in range(MAX_CONTENT))
    await world.post(sentence)
    assert await found(world, sentence[-40:]) == [sentence]


async def test_terms_are_the_same_whatever_the_databases_locale(servers: Servers) -> None:
    texts = [text for pair in FOUND for text in pair]
    cut = "SELECT search_vector(said)::text, search_phrase(said)::text FROM unnest($1::text[]) AS said"
    rows = []
    for url in (await servers.new_database(), await servers.new_database_of_locale("C.UTF-8")):
        connection = await asyncpg.connect(url)
        try:
            lower = await connection.fetchval("SELECT lower('Ä')")
            rows.append((lower, await connection.fetch(cut, texts)))
        finally:
            await connection.close()
    assert [lower for lower, _ in rows] == ["Ä", "ä"], "the first knows no letter outside ASCII"
    assert rows[0][1] == rows[1][1]
