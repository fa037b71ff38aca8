"""The one way in for an operation that a client asks for, whichever edge it comes through.

The order is the same everywhere and fails cheaply first: limit, access, login; only then is the request read; then
admission, client id, validation, and the call on the bus. What is refused is counted too.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from libs.common.bus.base import Bus, Caller, Written
from libs.common.contracts import auth, spaces, voice
from libs.common.contracts.registry import Access, Operation
from libs.common.contracts.schema import has_field, load
from libs.common.edge.document_numbers import DocumentNumbers
from libs.common.edge.limits import LimitState, RateLimits
from libs.common.errors import FORBIDDEN, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity, guest_identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tokens import Token


@dataclass(slots=True)
class ClientCall:
    """One call of an operation by a client.

    `idempotency_key` is the client's own where it stands outside the request; `limit` is what was left of the
    caller's limit, once the call was counted.
    """

    operation: Operation[Any, Any]
    token: Token
    address: str
    request_id: str
    idempotency_key: str | None = None
    limit: LimitState | None = None


OF_ITSELF = (auth.me, voice.turn_credentials)  # of no space, and yet an admission's own

type ReadRequest = Callable[[], Awaitable[dict[str, Any]]]
type FindAuthor = Callable[[ClientCall, Any], Awaitable[Identity]]
type Ask = Callable[[Operation[Any, Any], Any, Caller], Awaitable[Written]]


async def _bearer_of_token(call: ClientCall, _: Any) -> Identity:
    return call.token.identity


class Commands:
    """`find_author(call, request)` names who a call is by, where that is not simply the token's identity.

    `ask(operation, request, caller)` gets the reply, where that is not simply asking over the bus.
    """

    def __init__(
        self, bus: Bus, limits: RateLimits, find_author: FindAuthor = _bearer_of_token, ask: Ask | None = None
    ) -> None:
        self._ask = ask or bus.call_for_json
        self._limits = limits
        self._numbers = DocumentNumbers(bus)
        self._find_author = find_author

    async def carry_out(self, call: ClientCall, read_request: ReadRequest) -> Written:
        """Returns the service's reply as the service wrote it.

        `read_request` returns the fields that the client sent; it is not asked for them before the call was counted.
        Raises `unauthorized`, `forbidden`, `rate_limited`, `invalid_input`, and whatever the service raises.
        """
        operation = call.operation
        call.limit = await self._limits.spend(operation, call.token.identity, call.address)
        if call.limit.exceeded:
            raise call.limit.error()
        require_access(operation.access, call.token.identity)
        require_login(call.token, operation)
        fields = within_admission(call.token, operation.request, await read_request())
        fields = await self._numbers.fields(
            operation.request, fields, Caller(call.token.identity, call.request_id, call.address)
        )
        require_admitted(call.token, operation.request, fields)
        request = load(operation.request, with_client_id(operation.request, fields, call.idempotency_key))
        if operation.limit.per_account:
            await self._spend_on_account(call, request.account)
        author = _narrowed(call, await self._find_author(call, request))
        return await self._ask(operation, request, Caller(author, call.request_id, call.address))

    async def _spend_on_account(self, call: ClientCall, account: str) -> None:
        limit = await self._limits.spend_on_account(call.operation, account, call.address)
        if limit.exceeded:
            call.limit = limit
            raise limit.error()


def _narrowed(call: ClientCall, author: Identity) -> Identity:
    """Has an admission be somebody in its own space alone: what is of no space it is told as any guest would be.

    It ends itself alone: the scene that was handed one must not end the login that it came from.
    """
    if not call.token.admission or is_about_a_space(call.operation):
        return author
    if call.operation is auth.logout:
        return replace(author, login_id=None)
    return author if call.operation in OF_ITSELF else guest_identity(new_id())


def require_access(access: Access, identity: Identity) -> None:
    """Refuses a caller that the edge itself need not let through. Raises `unauthorized` or `forbidden`."""
    if access is Access.ACCOUNT and not (identity.account or identity.operator):
        raise PresenceError(UNAUTHORIZED, "This needs a Hive account; log in at /api/auth/login.")
    if access is Access.OPERATOR and not identity.operator:
        raise PresenceError(UNAUTHORIZED if identity.guest else FORBIDDEN, "This is for operators.")


def require_login(token: Token, operation: Operation[Any, Any]) -> None:
    """Refuses an admission the things of an account that belong to no space: its webhooks, its notifications.

    One that no login stands behind, as a wallet's signature opens it, is not renewed either. Raises `forbidden`.
    """
    if token.admission and operation.access is not Access.ANYONE and not is_about_a_space(operation):
        raise PresenceError(FORBIDDEN, "This token is for one space; use the one of your login.")
    if token.admission and token.identity.login_id is None and operation is spaces.join:
        raise PresenceError(FORBIDDEN, "This admission came of a signature and not of a login: sign another challenge.")


def is_about_a_space(operation: Operation[Any, Any]) -> bool:
    """Returns whether its request names the space."""
    return has_field(operation.request, "space_id") or has_field(operation.request, "document_id")


def require_admitted(token: Token, request: type, fields: dict[str, Any]) -> None:
    """Refuses an admission every space but its own, by the fields that the operation itself reads.

    Raises `forbidden`.
    """
    if has_field(request, "document_id"):
        require_admission_to(token, f"document:{fields.get('document_id')}")
    elif has_field(request, "space_id"):
        require_admission_to(token, f"{fields.get('space_type')}:{fields.get('space_id')}")


def require_admission_to(token: Token, space: SpaceKey | str) -> None:
    """Refuses an admission every space but its own. Raises `forbidden`."""
    if token.admission and str(space) != str(token.admission.space):
        raise PresenceError(FORBIDDEN, "This token is for another space; use the one of your login.")


def within_admission(token: Token, request: type, fields: dict[str, Any]) -> dict[str, Any]:
    """Adds an admission's space to a request that names none, such as one for a message by its id."""
    if token.admission and "space_id" not in fields and has_field(request, "space_id"):
        space = token.admission.space
        return {**fields, "space_type": space.space_type, "space_id": space.space_id}
    return fields


def with_client_id(request: type, fields: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """Gives a command its idempotency key: the client's own, its `Idempotency-Key`, or a new one.

    The edge may send a command twice (the broker may fail between), and both must be the same command.
    """
    if has_field(request, "client_message_id") and fields.get("client_message_id") is None:
        return {**fields, "client_message_id": key or new_id()}
    return fields
