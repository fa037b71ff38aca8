"""The sample content, the same at every run. The primary has the counts and flags; texts and times live on Hive,
so the stand-in node serves those from here.

Fixed points that people, documentation and tests count on: alice/my-360-photo, bob/sculpture-hall, carol/not-for-you.
"""

import hashlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

FIRST = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
FIRST_BLOCK = 83_251_200  # Hive's block at about that time; one every 3 seconds
GENERATED = 210

AUTHORS = (
    *("alice", "bob", "carol", "dave", "panomax", "vr-weaver", "lumen.art", "hexagonia", "skyboxer", "marta-builds"),
    *("polyphony", "old-lighthouse", "dr.parallax", "kilobyte", "fjordlight", "tessera", "nomadframes", "quietpixel"),
)
LICENSES = ("CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", None)

# Per type: title patterns, and what fills the place in them.
TITLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "360": (
        ("{} in 360°", "A slow morning at {}", "Panorama: {}"),
        ("Trollstigen", "the salt flats", "Shibuya crossing", "the old harbour", "Plitvice lakes", "Cabo da Roca"),
    ),
    "vrml": (
        ("{} rebuilt in VRML", "Walk-through: {}", "{}, a VRML97 restoration"),
        ("the Antikythera mechanism", "a 1996 city block", "Villa Rotonda", "the Kepler solids", "a Roman bath"),
    ),
    "aframe": (
        ("{} in A-Frame", "Playable room: {}", "{} with hand tracking"),
        ("a rain machine", "the gravity garden", "a synth you walk through", "a campfire", "an infinite library"),
    ),
    "blog": (
        ("Notes on {}", "What I learned about {}", "{}, one year later"),
        ("avatars without legs", "spatial audio", "running a node", "motion sickness", "hosting a VR meetup"),
    ),
    "art": (
        ("{} (series of five)", "Study: {}", "{}, light on clay"),
        ("glass animals", "the weight of rooms", "noise fields", "tides", "portraits of servers"),
    ),
    "game": (
        ("{}, playable demo", "Devlog: {}", "{}: tournament on Friday"),
        ("Laser Croquet", "Maze of Doors", "Orbital Post Office", "Bridge Builders", "Snowball Republic"),
    ),
}
TYPES = tuple(TITLES)


@dataclass(frozen=True)
class Post:
    """One piece of content: the primary's columns, and the texts and time that only Hive has."""

    author: str
    permlink: str
    type: str
    title: str
    body: str
    created: datetime
    votes: int = 0
    voteweight: int = 0
    promote: int = 0
    raters: tuple[tuple[str, int], ...] = ()  # (account, 1..5 stars)
    nsfw: bool = False
    sensitive: bool = False
    hidden: bool = False
    featured: bool = False
    flag_reason: str | None = None
    moderated_by: str | None = None
    license: str | None = None
    tags: tuple[str, ...] = field(default=())

    @property
    def block(self) -> int:
        return FIRST_BLOCK + int((self.created - FIRST).total_seconds()) // 3

    @property
    def rating(self) -> float | None:
        """The mean of the stars, or None before anybody rated."""
        return round(sum(stars for _, stars in self.raters) / len(self.raters), 2) if self.raters else None

    @property
    def paid(self) -> bool:
        """Hive pays a post out after seven days; all of these are older."""
        return True


FIXED = (
    Post(
        "alice",
        "my-360-photo",
        "360",
        "My 360 photo: the bridge at dawn",
        "Taken at 5:40 in the morning, one minute before the first tram. Come in and look around.",
        FIRST,
        votes=182,
        voteweight=5_210_334_118,
        raters=(("bob", 5), ("carol", 4), ("dave", 5)),
        featured=True,
        license="CC-BY-4.0",
        tags=("360", "photography", "dlux"),
    ),
    Post(
        "bob",
        "sculpture-hall",
        "art",
        "Sculpture hall",
        "Nine pieces in one hall, each to be walked around. The echo is part of the work.",
        FIRST + timedelta(days=3),
        votes=96,
        voteweight=2_730_998_001,
        raters=(("alice", 5), ("tessera", 4)),
        license="CC-BY-SA-4.0",
        tags=("art", "sculpture", "vr"),
    ),
    Post(
        "carol",
        "not-for-you",
        "blog",
        "Not for you",
        "A draft that a moderator has hidden.",
        FIRST + timedelta(days=5),
        votes=2,
        hidden=True,
        flag_reason="author asked for it",
        moderated_by="dlux-mod",
        tags=("blog",),
    ),
)


@cache
def posts() -> tuple[Post, ...]:
    """All sample posts: the fixed ones, then 35 of each type."""
    return (*FIXED, *(_generate(number) for number in range(GENERATED)))


def _generate(number: int) -> Post:
    """The post of that number; the same in every run and Python version (seeded per post)."""
    dice = random.Random(f"presence {number}")  # noqa: S311 - sample content
    kind = TYPES[number % len(TYPES)]
    patterns, things = TITLES[kind]
    title = dice.choice(patterns).format(dice.choice(things))
    title = title[0].upper() + title[1:]
    author = dice.choice(AUTHORS)
    votes = int(dice.paretovariate(1.1) * 6) % 900  # a few are popular, most are not
    flagged = number % 53 == 17
    return Post(
        author,
        permlink_of(title, number),
        kind,
        title,
        _body(title, author, dice),
        FIRST + timedelta(days=7, hours=number * 9, minutes=dice.randrange(540)),
        votes=votes,
        voteweight=votes * dice.randrange(5_000_000, 60_000_000),
        promote=dice.choice((0, 0, 0, 0, 5_000, 20_000)),
        raters=_raters(author, dice),
        nsfw=number % 41 == 5,
        sensitive=number % 41 in (5, 23),
        hidden=flagged and number % 2 == 0,
        featured=number % 29 == 0,
        flag_reason="reported as spam" if flagged else None,
        moderated_by="dlux-mod" if flagged else None,
        license=dice.choice(LICENSES),
        tags=("dlux", kind, dice.choice(("vr", "webxr", "metaverse", "photography", "music"))),
    )


def permlink_of(title: str, number: int) -> str:
    """As Hive front ends make them: lower case, hyphens, and something that keeps them apart."""
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in title.lower()).split()
    return "-".join([*words, hashlib.sha256(str(number).encode()).hexdigest()[:6]])


def _raters(author: str, dice: random.Random) -> tuple[tuple[str, int], ...]:
    others = [account for account in AUTHORS if account != author]
    chosen = dice.sample(others, dice.choice((0, 0, 1, 2, 3, 5, 8)))
    return tuple((account, dice.choice((2, 3, 4, 4, 5, 5))) for account in chosen)


def _body(title: str, author: str, dice: random.Random) -> str:
    sentences = (
        "Works in the browser, better with a headset.",
        "Best with two or more people: voice is on.",
        "Teleport with the thumbstick, or walk if your room allows it.",
        "Every source file is in the repository linked below.",
        "Thanks to everybody who tested the first version.",
        "The sound follows you, so bring headphones.",
    )
    return f"## {title}\n\n{' '.join(dice.sample(sentences, 3))}\n\n— @{author}"
