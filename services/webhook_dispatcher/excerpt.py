"""The beginning of an endpoint's answer, as its owner may read it in the log."""

from collections.abc import Mapping

SHOWN = 1024  # bytes
STRUCK = "[signature]"
_SIGNATURES = ("webhook-signature", "X-DLUX-Signature")


def excerpt_of(body: bytes, sent: Mapping[str, str], encoding: str | None = None) -> str | None:
    """Returns the first KiB of a body as text, without the signatures that were `sent`; None for nothing.

    Whoever may read the log may not be able to sign. What the endpoint compressed is not unpacked.
    """
    if not body:
        return None
    if encoding and encoding.lower() != "identity":
        return f"({encoding[:40]}, not shown)"
    text = body.decode(errors="replace").replace("\x00", "�")
    for signature in _signatures(sent):
        for written in (signature, signature.replace("/", "\\/")):
            text = text.replace(written, STRUCK)
    return text.encode()[:SHOWN].decode(errors="ignore")


def _signatures(sent: Mapping[str, str]) -> list[str]:
    """Returns the bare signatures: `v1,` and `sha256=` before them are no secret."""
    entries = [entry for name in _SIGNATURES for entry in sent.get(name, "").split()]
    return [entry.removeprefix("sha256=").rpartition(",")[2] for entry in entries]
