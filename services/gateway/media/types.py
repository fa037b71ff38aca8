"""What kinds of files come through the door, and which of them a browser may show.

Nothing that runs in our origin: HTML, scripts and XML are refused. What can hold a script and is a picture all the same
(SVG), or has no type of its own, comes as a download in a sandbox; `<img>`, `fetch` and loaders of models take it.
"""

from collections.abc import Mapping

SHOWN: Mapping[str, str] = {  # media type → ending of the file in the cache
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/ogg": ".ogv",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".oga",
    "audio/wav": ".wav",
    "audio/x-wav": ".xwav",
    "audio/wave": ".wave",
    "audio/mp4": ".m4a",
    "audio/aac": ".aac",
    "audio/flac": ".flac",
    "audio/webm": ".weba",
    "model/gltf-binary": ".glb",
    "model/gltf+json": ".gltf",
    "application/json": ".json",
}
DOWNLOADED: Mapping[str, str] = {
    "image/svg+xml": ".svg",
    "application/octet-stream": ".bin",
    "text/plain": ".txt",
    "model/vrml": ".wrl",
}
ENDINGS: Mapping[str, str] = {**SHOWN, **DOWNLOADED}
TYPES: Mapping[str, str] = {ending: media_type for media_type, ending in ENDINGS.items()}
CACHE = "public, max-age=31536000, immutable"
SANDBOX = "default-src 'none'; sandbox"


def headers(ending: str) -> dict[str, str]:
    """Returns the headers of an answer that is a file with that ending."""
    media_type = TYPES[ending]
    download = {"Content-Disposition": "attachment"} if media_type in DOWNLOADED else {}
    return {
        "Content-Type": media_type,
        "Cache-Control": CACHE,
        "Content-Security-Policy": SANDBOX,
        "Cross-Origin-Resource-Policy": "cross-origin",
        **download,
    }
