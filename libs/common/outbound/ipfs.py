"""Names of things on IPFS: `ipfs://<cid>[/<path>]`, found in what people write.

A CID is version 0 (base58 of a SHA-256) or version 1 in base32, as kubo and gateways print them. A form is all that is
checked, since a gateway decides what it has; so two expressions do where a library would bring multihashes and codecs.
"""

import re
from urllib.parse import unquote

SCHEME = "ipfs://"
LONGEST_PATH = 512  # characters behind a CID
CID = r"Qm[1-9A-HJ-NP-Za-km-z]{44}|b[a-z2-7]{58,110}"
_CID = re.compile(CID)
_GATEWAY_PATH = re.compile(rf"https?://[^/\s?#]+/ipfs/({CID})(/[^\s?#]*)?(?:[?#]\S*)?")
_NAMED = re.compile(rf"(?:ipfs://)?(?:ipfs/)?({CID})(/[^\s?#]*)?(?:[?#]\S*)?")


def is_cid(text: str) -> bool:
    return _CID.fullmatch(text) is not None


def reference(text: str) -> str | None:
    """Returns `ipfs://<cid>[/<path>]` of a CID, an IPFS URL or a gateway's URL; None for anything else."""
    match = _NAMED.fullmatch(text) or _GATEWAY_PATH.fullmatch(text)
    if match is None:
        return None
    path = unquote(match[2] or "").strip("/")
    if path and not is_path(path):
        return None
    return f"{SCHEME}{match[1]}/{path}" if path else f"{SCHEME}{match[1]}"


def is_path(path: str) -> bool:
    """Returns whether a decoded path stays below its CID and is printable text of a bearable length."""
    parts = path.split("/")
    return (
        len(path) <= LONGEST_PATH
        and path.isprintable()
        and "\\" not in path
        and not any(part in ("", ".", "..") for part in parts)
    )
