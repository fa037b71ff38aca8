"""What OpenAPI says of the door, which is no operation."""

from typing import Any

from libs.common.outbound.ipfs import CID, LONGEST_PATH

_FILE = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_ERRORS = {
    400: "invalid_input.",
    403: "forbidden: a type that is not served here.",
    404: "not_found.",
    413: "too_large.",
    429: "rate_limited.",
    503: "unavailable.",
}


def paths() -> dict[str, dict[str, Any]]:
    """Returns the paths of the door, as OpenAPI describes them."""
    cid = _parameter("cid", f"^(?:{CID})$")
    path = {**_parameter("path", r"^[^\\]+$"), "description": "May hold slashes."}
    path["schema"] = {**path["schema"], "maxLength": LONGEST_PATH}
    return {
        "/api/media/{cid}": _described("media.get", [cid]),
        "/api/media/{cid}/{path}": _described("media.get_path", [cid, path]),
    }


def _parameter(name: str, pattern: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}


def _described(name: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "summary": "A file on IPFS: a picture, video, sound or model. Takes Range, If-Range and If-None-Match.",
            "tags": ["media"],
            "parameters": parameters,
            "responses": {
                "200": {"description": "The file.", "content": _FILE},
                "206": {"description": "A range of it.", "content": _FILE},
                "304": {"description": "It is what the caller has."},
                "416": {"description": "No such range."},
                **{str(status): {"description": text, "content": _ERROR} for status, text in _ERRORS.items()},
            },
            "security": [{}],
        }
    }
