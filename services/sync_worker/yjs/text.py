"""The text of a document that people wrote together: of the Yjs state that the primary keeps, what a reader sees."""

from base64 import b64decode
from collections.abc import Iterator

from pycrdt import Doc, XmlElement, XmlFragment, XmlText

BODY = "body"  # the editor's fragment of the state
_BREAK, _PARAGRAPH = "hardBreak", "paragraph"
type _Node = XmlFragment | XmlElement | XmlText


class BadState(Exception):
    """These are no bytes of a Yjs state."""


def text_of(column: str) -> str:
    """Returns the text of a state, a line for each paragraph, heading, item and line break; no NUL.

    `column` is base64, as the editor's server writes it, or what PostgreSQL makes of a `bytea`. Raises `BadState`.
    """
    document: Doc[XmlFragment] = Doc()
    if state := _bytes(column):
        try:
            document.apply_update(state)
        except ValueError as error:
            raise BadState(str(error)) from error
    with document.transaction():
        body = document.get(BODY, type=XmlFragment)
        return "\n".join(_lines(body)).replace("\0", "")


def _bytes(column: str) -> bytes:
    try:
        if column.startswith("\\x"):
            return bytes.fromhex(column[2:])
        return b64decode("".join(column.split()), validate=True)
    except ValueError as error:
        raise BadState(str(error)) from error


def _lines(body: XmlFragment) -> Iterator[str]:
    """Yields the lines in order. Blocks may stand in each other as deep as a stranger likes: nothing here recurses."""
    rest: list[_Node] = [body]
    while rest:
        node = rest.pop()
        children = [] if isinstance(node, XmlText) else list(node.children)
        if any(isinstance(child, XmlText) for child in children) or _tag(node) == _PARAGRAPH:
            yield from _words(children).split("\n")
        else:
            rest += reversed(children)


def _words(inline: list[_Node]) -> str:
    """Returns what stands in one block: its texts, those in the nodes within it, and its line breaks."""
    words, rest = "", [*reversed(inline)]
    while rest:
        node = rest.pop()
        if isinstance(node, XmlText):
            words += "".join(part for part, _ in node.diff() if isinstance(part, str))
        elif _tag(node) == _BREAK:
            words += "\n"
        else:
            rest += reversed(list(node.children))
    return words


def _tag(node: _Node) -> str | None:
    return node.tag if isinstance(node, XmlElement) else None
