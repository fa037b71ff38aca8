"""A document as the users' editor has it saved."""

from base64 import b64encode
from collections.abc import Iterable

from pycrdt import Doc, XmlElement, XmlFragment, XmlText


def yjs_state(paragraphs: Iterable[str]) -> str:
    """Returns the base64 of a Yjs state with these paragraphs in its fragment `body`."""
    document: Doc[XmlFragment] = Doc()
    body = document.get("body", type=XmlFragment)
    for paragraph in paragraphs:
        body.children.append(XmlElement("paragraph", {}, [XmlText(paragraph)]))
    return b64encode(document.get_update()).decode()
