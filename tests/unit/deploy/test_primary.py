"""The demo primary's content, before it is in a database."""

from collections import Counter

from deploy.local.primary.content import TYPES, posts


def test_the_demo_primary_has_posts_enough_of_every_type_and_condition() -> None:
    assert len(posts()) >= 200
    assert len({(post.author, post.permlink) for post in posts()}) == len(posts())
    assert all(count >= 30 for count in Counter(post.type for post in posts()).values())
    assert {post.type for post in posts()} == set(TYPES)
    for condition in ("nsfw", "sensitive", "hidden", "featured", "flag_reason"):
        assert any(getattr(post, condition) for post in posts()), condition
