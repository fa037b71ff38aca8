"""A bar chart as SVG, by hand: it needs no library and looks the same everywhere."""

from collections.abc import Iterator, Mapping
from html import escape

WIDTH, LEFT, BAR, GAP, TOP = 760, 230, 22, 8, 50
COLOURS = ("#2f6fdb", "#8a8f98", "#b9bdc4", "#d3a13b")
TITLES = {"fanout": "one sender, one under way", "load": "ten senders, twenty under way"}


def bars(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """`groups`: name of the group → name of the bar → its length."""
    longest = max((value for group in groups.values() for value in group.values()), default=1.0)
    rows = sum(len(group) for group in groups.values())
    height = TOP + rows * (BAR + GAP) + len(groups) * 36
    body = "\n".join(_groups(groups, longest))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
        f'<text x="16" y="28" font-size="16" font-weight="bold">{escape(title)}</text>\n{body}\n</svg>\n'
    )


def _groups(groups: Mapping[str, Mapping[str, float]], longest: float) -> Iterator[str]:
    y = TOP
    for name, group in groups.items():
        y += 22
        yield f'<text x="16" y="{y}" fill="#555">{escape(TITLES.get(name, name))}</text>'
        y += 10
        for (server, value), colour in zip(group.items(), COLOURS, strict=False):
            yield _bar(y, server, value, value / longest, colour)
            y += BAR + GAP
        y += 4


def _bar(y: int, name: str, value: float, part: float, colour: str) -> str:
    length = max(part * (WIDTH - LEFT - 110), 1.0)
    middle = y + BAR - 6
    return (
        f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
        f'<text x="{LEFT + length + 8:.1f}" y="{middle}">{value:,.0f}</text>'
    )
