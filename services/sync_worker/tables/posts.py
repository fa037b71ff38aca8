"""The posts of the primary."""

from libs.common.db.models.content import Post
from libs.common.spaces import SpaceKey
from services.sync_worker.tables.table import LONGEST_WORD, Record, Shape, Table, require_space
from services.sync_worker.tables.values import INTEGER, BadRow, Raw, flag, moment, real, text, whole, words

MOST_TAGS = 50


def _post(raw: Raw) -> Record:
    author, permlink = raw["author"], raw["permlink"]
    require_space("post", f"{author}/{permlink}")
    if not raw.get("type"):
        raise BadRow("no type")
    return {
        "author": author,
        "permlink": permlink,
        "type": text(raw["type"], LONGEST_WORD),
        "block": whole(raw.get("block")),
        **{name: whole(raw.get(name)) or 0 for name in ("votes", "voteweight", "promote")},
        "rating": real(raw.get("rating")) or 0.0,
        "ratings": whole(raw.get("ratings"), INTEGER) or 0,
        **{name: flag(raw, name) for name in ("paid", "nsfw", "sensitive", "featured")},
        **{name: flag(raw, name, null=True) for name in ("hidden", "flagged")},
        **{name: text(raw.get(name), LONGEST_WORD) for name in ("flag_reason", "moderated_by", "remix_cid", "license")},
        "moderated_at": moment(raw.get("moderated_at")),
        "tags": words(raw.get("tags"), LONGEST_WORD, MOST_TAGS),
    }


POSTS = Table(
    "posts",
    Post,
    ("author", "permlink"),
    (
        Shape(
            "by name",
            ("author", "permlink"),
            (
                *("type", "block", "votes", "voteweight", "promote", "paid", "rating", "ratings", "nsfw", "sensitive"),
                *("hidden", "featured", "flagged", "flag_reason", "moderated_by", "moderated_at"),
                *("remix_cid", "license", "tags"),
            ),
            _post,
            (("author",), ("permlink",)),
            lambda key: key,
            access=("hidden", "flagged"),
        ),
    ),
    watched=("hidden", "flagged"),
    openness=lambda row: (0 if row["hidden"] or row["flagged"] else 1,),
    space_of=lambda key: SpaceKey("post", "/".join(key)),
    closed={"hidden": True},
    decides_access=False,
)
