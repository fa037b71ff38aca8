"""The posts of the primary."""

from libs.common.contracts.content import PostChanged, post_changed
from libs.common.db.models.content import Post
from libs.common.spaces import SpaceKey
from services.sync_worker.tables.table import LONGEST_WORD, Key, Record, Row, Shape, Table, require_space
from services.sync_worker.tables.values import INTEGER, Raw, flag, moment, real, text, whole, words

MOST_TAGS = 50
WITHOUT_TYPE = "blog"  # what a post is that the primary gives no type


def _post(raw: Raw) -> Record:
    author, permlink = raw["author"], raw["permlink"]
    require_space("post", f"{author}/{permlink}")
    return {
        "author": author,
        "permlink": permlink,
        "type": text(raw.get("type"), LONGEST_WORD) or WITHOUT_TYPE,
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


def _openness(row: Row) -> int:
    return 0 if row["hidden"] or row["flagged"] else 1


def _change(key: Key, old: Row | None, new: Row | None) -> PostChanged | None:
    """Returns what became of a post that was there: nobody waits for a new one."""
    if old is None or (new and _openness(old) == _openness(new)):
        return None
    author, permlink = key
    return PostChanged(author, permlink, "deleted" if new is None else "shown" if _openness(new) else "hidden")


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
    openness=lambda row: (_openness(row),),
    space_of=lambda key: SpaceKey("post", "/".join(key)),
    events=(post_changed,),
    told=("hidden", "flagged"),
    change_of=_change,
    closed={"hidden": True},
    decides_access=False,
)
