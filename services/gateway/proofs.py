"""Identifies who sends a request: by a token, or by the signed challenge that front ends of DLUX send instead.

    Authorization: Bearer <130 hex>:alice     and `challenge` in the body, or X-Challenge
    Authorization: Bearer <130 hex>           likewise; the challenge names the account, or X-Account does
    X-Account, X-Challenge, X-Signature       without an Authorization header

The challenge is one of `/api/auth/challenge`, spent by this one request; for a join it may be one that the client made
itself. In a header it is percent-encoded, or its nonce alone. Attempts count against the limit of logging in.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from libs.common.contracts import auth, spaces
from libs.common.contracts.auth import Prove
from libs.common.contracts.registry import Operation
from libs.common.contracts.schema import has_field, load
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.edge.limits import RateLimits
from libs.common.errors import UNAUTHORIZED, PresenceError
from libs.common.identity import guest_identity
from libs.common.ids import new_id
from libs.common.tokens import Token
from services.gateway.body import read_object
from services.gateway.server import ADDRESS, REQUEST_ID

_BEARER = re.compile(r"(?:Bearer(?:\s+|$))?(.*)", re.IGNORECASE | re.DOTALL)
_SIGNED = re.compile(r"([0-9a-fA-F]{130})(?::(.*))?", re.DOTALL)
# A signature in another form than requestSignBuffer's `result`: an object, a key's own form, bytes too many or too few.
_MISSHAPEN = re.compile(r"[{\[\"].*|SIG_.*|(?:0x)?[0-9a-f]{64,}(?::.*)?", re.IGNORECASE | re.DOTALL)
HOW = (
    "A signature is sent as `Authorization: Bearer <130 hexadecimal digits>:<account>`, as requestSignBuffer gives it"
    " in `result`, with the text that it signs, of /api/auth/challenge: as `challenge` in the body, or in X-Challenge."
)


class Proofs:
    """Reads the credentials of requests."""

    def __init__(self, gatekeeper: Gatekeeper, limits: RateLimits) -> None:
        self._gatekeeper = gatekeeper
        self._limits = limits

    async def identify(self, request: web.Request, operation: Operation[Any, Any]) -> Token:
        """Returns the token of a request. Raises `unauthorized`, `session_expired`, `rate_limited` or `unavailable`."""
        bearer, address = _bearer(request), request[ADDRESS]
        proof = await _proof(request, bearer, joins=operation is spaces.join)
        if proof is None:
            return await self._identify_bearer(bearer, address)
        await self._spend(proof, address)
        return await self._gatekeeper.prove(proof, request[REQUEST_ID], address)

    async def _identify_bearer(self, bearer: str, address: str) -> Token:
        try:
            return await self._gatekeeper.identify(bearer, address)
        except PresenceError as error:
            if error.kind is UNAUTHORIZED and _MISSHAPEN.fullmatch(bearer):
                raise PresenceError(UNAUTHORIZED, HOW) from error
            raise

    async def _spend(self, proof: Prove, address: str) -> None:
        """Counts an attempt as a login is counted: by address, and by the account where the proof names it itself."""
        spent = [await self._limits.spend(auth.login, guest_identity(new_id()), address)]
        if proof.account:
            spent.append(await self._limits.spend_on_account(auth.login, proof.account, address))
        for limit in spent:
            if limit.exceeded:
                raise limit.error()


def require_no_signature(token: Token, operation: Operation[Any, Any], fields: Mapping[str, Any]) -> None:
    """Refuses who signed and put the signature where it is not looked for: they would be a guest, and not know why.

    Raises `unauthorized`.
    """
    if token.identity.nobody and "signature" in fields and not has_field(operation.request, "signature"):
        raise PresenceError(UNAUTHORIZED, HOW)


def _bearer(request: web.Request) -> str:
    """Returns the header's token, empty without one; a header of another scheme whole, to be refused."""
    match = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
    return match[1] if match else ""


async def _proof(request: web.Request, bearer: str, *, joins: bool) -> Prove | None:
    """Returns the signed challenge, or None for an unsigned request. Raises `unauthorized` for a malformed one."""
    headers = request.headers
    signed = _SIGNED.fullmatch(bearer)
    signature = signed[1] if signed else headers.get("X-Signature", "") if not bearer else ""
    if not signature:
        return None
    account = (signed[2] if signed else None) or headers.get("X-Account")
    challenge = unquote(headers.get("X-Challenge", "")) or (await read_object(request)).get("challenge")
    fields = {"challenge": challenge, "signature": signature, "account": account or None, "joins": joins}
    try:
        return load(Prove, fields)
    except PresenceError as error:
        raise PresenceError(UNAUTHORIZED, HOW) from error
