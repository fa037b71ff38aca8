"""Takes what clients may send: the product's own signals by hand, the registry's operations by one rule.

Every event is acked with `{ok: true, ...}` or `{ok: false, error, code}`; a failure is also told by `space-error` or
`chat-error`. A socket's commands are carried out in the order in which it sent them; its poses pass them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import socketio
import structlog
from msgspec import UNSET

from libs.common.contracts.presence import AframeUpdate, JoinSpace, NafRoom, read_update
from libs.common.contracts.registry import Operation, Registry, Socket
from libs.common.contracts.schema import has_field
from libs.common.edge.commands import ClientCall, Commands
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.edge.origin import client_address
from libs.common.errors import FORBIDDEN, INTERNAL, INVALID_INPUT, RATE_LIMITED, UNAVAILABLE, PresenceError
from libs.common.ids import new_id
from libs.common.metrics import DROPPED
from libs.common.tokens import Token
from services.realtime.clients.hot_signals import HotSignals
from services.realtime.clients.patience import patiently
from services.realtime.clients.quotas import Quota, Quotas
from services.realtime.clients.signals import Signals, check_avatar, free_of_charge, is_removal
from services.realtime.membership.entering import Entering
from services.realtime.naf.adapter import NafAdapter
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import MAX_WAITING, MOST_SIGNALS, Client, Handler
from services.realtime.rooms.client_table import ClientTable
from services.realtime.settings import Settings
from services.realtime.transport.packets import DEFAULT_NAMESPACE, NAMESPACES, EventPacket

_log = structlog.get_logger(__name__)
# Reasons of a disconnect that somebody wanted; with any other the connection broke.
_WANTED = {socketio.AsyncServer.reason.CLIENT_DISCONNECT, socketio.AsyncServer.reason.SERVER_DISCONNECT}
# Of payloads that are more than their struct.
DECODERS: dict[type, Callable[[bytes], Any]] = {AframeUpdate: read_update}

LONGEST_PATIENCE = 20.0  # seconds; an upgrade that goes on meanwhile has ten more (`UPGRADE_SECONDS`)

type Command = Callable[[Client, Any], Awaitable[dict[str, Any]]]


class Sockets:
    """Registers a handler with `server` for every event that a client may send, and fills the table of clients."""

    def __init__(
        self,
        server: socketio.AsyncServer,
        clients: ClientTable,
        registry: Registry,
        commands: Commands,
        gatekeeper: Gatekeeper,
        entering: Entering,
        signals: Signals,
        naf: NafAdapter,
        settings: Settings,
    ) -> None:
        self._server = server
        self._clients = clients
        self._commands = commands
        self._gatekeeper = gatekeeper
        self._entering = entering
        self._signals = signals
        self._naf = naf
        self._hot_signals = HotSignals(signals)
        self._settings = settings
        self._patience = min(settings.handshake_seconds, LONGEST_PATIENCE)
        self._quotas = Quotas(settings)
        self._taken: dict[str, list[Quota]] = {}
        for namespace in NAMESPACES:
            self._register(namespace, registry)

    def _register(self, namespace: str, registry: Registry) -> None:
        self._server.on("connect", partial(self._connect, namespace), namespace=namespace)
        self._server.on("disconnect", self._disconnect, namespace=namespace)
        for event, (form, handler) in self._signals.table.items():
            self._server.on(event, partial(self._on_signal, event, form, handler), namespace=namespace)
        commands: dict[str, Command] = {
            "join-space": self._join_space,
            "leave-space": self._leave_space,
            "joinRoom": self._join_room,
        }
        for operation, binding in registry.bound(Socket):
            if isinstance(operation, Operation):
                commands[binding.event] = partial(self._carry_out_operation, operation, binding)
        for event, command in commands.items():
            self._server.on(event, partial(self._on_command, event, command), namespace=namespace)

    # Connecting.

    async def _connect(self, namespace: str, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        """Refuses for good who may not connect. Raises what is temporary: the server has that client try again."""
        request = environ["aiohttp.request"]
        address = client_address(request.remote or "", request.headers, self._settings)
        claimed = auth.get("token") if isinstance(auth, dict) else None
        engine = self._server.eio.sockets[self._server.manager.eio_sid_from_sid(sid, namespace)]
        receive = partial(self._receive, claimed if isinstance(claimed, str) else "", address)
        try:
            token, quotas = await patiently(receive, self._patience, lambda kind: kind.temporary)
        except PresenceError as error:
            if error.kind.temporary:
                raise
            raise socketio.exceptions.ConnectionRefusedError(error.text, error.to_wire()) from error
        self._taken[sid] = quotas
        client = Client(sid, namespace, engine, token, address, self._quotas.budgets(quotas))
        client.blame = partial(self._signals.blame, client)
        self._clients.add(client)
        if namespace == DEFAULT_NAMESPACE:
            engine.hot = partial(self._hot_signals.take, client)
        _log.info("Socket connected", sid=sid, identity=token.identity.key)

    async def _receive(self, bearer: str, address: str) -> tuple[Token, list[Quota]]:
        token = await self._gatekeeper.identify(bearer, address)
        return token, self._quotas.take(token, address)

    async def _disconnect(self, sid: str, reason: str) -> None:
        client = self._clients.remove(sid)
        if client is None:
            return
        self._quotas.give_back(self._taken.pop(sid))
        _log.info("Socket disconnected", sid=sid, reason=reason)
        async with client.turn:  # after a join that is still under way
            if reason in _WANTED:
                await self._entering.leave(client, "disconnected")
            else:
                await self._entering.drop(client)

    # Signals.

    async def _on_signal(self, event: str, form: type, handler: Handler, sid: str, *arguments: Any) -> dict[str, Any]:
        client = self._clients.get(sid)
        if client is None:
            return _failed(PresenceError(FORBIDDEN))
        try:
            payload = _encode(arguments)
            too_much = _spend(client, event, payload)
            if too_much and not (is_removal(event, payload) and client.may_remove()):
                raise PresenceError(RATE_LIMITED, too_much)
            answer = {"ok": True, **await handler(client, _decode(payload, form))}
            client.insistence.taken()
            return answer
        except PresenceError as error:
            return self._refuse(client, event, error)

    def _refuse(self, client: Client, event: str, error: PresenceError) -> dict[str, Any]:
        """Tells a client of a refusal and returns the ack; ends one that goes on asking for too much."""
        _tell_error(client, event, error)
        if error.kind is RATE_LIMITED and client.insists():
            _log.warning("Socket dropped: it goes on asking for too much", sid=client.sid)
            DROPPED.labels(RATE_LIMITED.code).inc()
            client.engine.drop(EventPacket("space-error", error.to_wire()).frame(client.namespace))
        return _failed(error)

    # Commands.

    async def _on_command(self, event: str, command: Command, sid: str, *arguments: Any) -> dict[str, Any]:
        client = self._clients.get(sid)
        if client is None:
            return _failed(PresenceError(FORBIDDEN))
        try:
            answer = {"ok": True, **await _in_turn(client, command, arguments)}
            client.insistence.taken()
            return answer
        except PresenceError as error:
            return self._refuse(client, event, error)
        except Exception:
            _log.exception("command failed", event_name=event, sid=sid)
            return _failed(PresenceError(INTERNAL))

    async def _join_space(self, client: Client, data: Any) -> dict[str, Any]:
        client.spend_join()
        request = _convert((data,), JoinSpace)
        if request.avatar_data is not UNSET:
            check_avatar(request.avatar_data)
        if request.token is not None:
            await self._take_token(client, request.token)

        async def join() -> dict[str, Any]:
            client.token = await self._gatekeeper.check_again(client.token)
            return await self._entering.enter(client, request)

        return await self._lead_in(client, join, 0.0 if client.place else self._patience)

    async def _lead_in(
        self, client: Client, join: Callable[[], Awaitable[dict[str, Any]]], patience: float
    ) -> dict[str, Any]:
        """Has a client that is nowhere then connect again where it cannot join now: most join once a connection."""
        try:
            return await patiently(join, patience, lambda kind: kind is UNAVAILABLE)
        except PresenceError as error:
            if error.kind is UNAVAILABLE and client.place is None:  # after the ack
                asyncio.get_running_loop().call_soon(client.engine.turn_away, error)
            raise

    async def _take_token(self, client: Client, encoded: str) -> None:
        """Takes a new token; another identity leaves at once where the old one was let in, and is shown, as itself."""
        token = await self._gatekeeper.identify(encoded, client.address)
        if token.identity.key != client.token.identity.key:
            self._change_quotas(client, token)
            await self._entering.leave(client, "left")
        client.token = token

    def _change_quotas(self, client: Client, token: Token) -> None:
        """Counts the socket as one of the new identity. Raises `rate_limited` where that has too many already."""
        quotas = self._quotas.take(token, client.address)
        self._quotas.give_back(self._taken[client.sid])
        self._taken[client.sid] = quotas
        client.budgets = [client.budgets[0], *(quota.budgets for quota in quotas)]

    async def _join_room(self, client: Client, data: Any) -> dict[str, Any]:
        client.spend_join()
        request = _convert((data,), NafRoom)

        async def join() -> dict[str, Any]:
            client.token = await self._gatekeeper.check_again(client.token)
            return await self._naf.join_room(client, request)

        return await self._lead_in(client, join, self._patience)

    async def _leave_space(self, client: Client, _: Any) -> dict[str, Any]:
        await self._entering.leave(client, "left")
        return {}

    async def _carry_out_operation(
        self, operation: Operation[Any, Any], binding: Socket, client: Client, data: Any
    ) -> dict[str, Any]:
        async def read_request() -> dict[str, Any]:
            if not isinstance(data, dict):
                raise PresenceError(INVALID_INPUT, "The payload must be an object.")
            renamed = {binding.rename.get(name, name): value for name, value in data.items()}
            return {**renamed, **_space_of(operation, client)}

        call = ClientCall(operation, client.token, client.address, new_id())
        reply: dict[str, Any] = msgspec.json.decode((await self._commands.carry_out(call, read_request)).json)
        return reply


def _spend(client: Client, event: str, payload: bytes) -> str:
    """Counts a signal and its bytes. Returns what was too much, in words; empty where nothing was."""
    if client.exceeds_signals():
        return f"At most {MOST_SIGNALS} signals a second."
    if client.exceeds_relayed(len(payload), free_of_charge(event)):
        return "Too many bytes for the others; send less of it."
    return ""


async def _in_turn(client: Client, command: Command, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Carries out a command after those that the client sent before it."""
    if client.waiting >= MAX_WAITING:
        raise PresenceError(RATE_LIMITED, "Too many commands at once; wait for their acks.")
    client.waiting += 1
    try:
        async with client.turn:
            return await command(client, _first(arguments))
    finally:
        client.waiting -= 1


def _tell_error(client: Client, event: str, error: PresenceError) -> None:
    name = "chat-error" if event.startswith("chat") else "space-error"
    Broadcast.to_one(client, EventPacket(name, error.to_wire()))


def _space_of(operation: Operation[Any, Any], client: Client) -> dict[str, Any]:
    """Returns the space that the client is in, for a command on a space: whatever the client says, it is about that."""
    if not has_field(operation.request, "space_id"):
        return {}
    place = client.placed()
    return {"space_type": place.space.space_type, "space_id": place.space.space_id, "subspace": place.subspace}


def _convert[T](arguments: tuple[Any, ...], form: type[T]) -> T:
    return _decode(_encode(arguments), form)


def _encode(arguments: tuple[Any, ...]) -> bytes:
    """Returns the JSON of the first argument: some structs keep it as it is, and the others' share is counted."""
    try:
        return msgspec.json.encode(_first(arguments))
    except TypeError as error:
        raise PresenceError(INVALID_INPUT, str(error)) from error


def _decode[T](payload: bytes, form: type[T]) -> T:
    try:
        return DECODERS[form](payload) if form in DECODERS else msgspec.json.decode(payload, type=form)
    except msgspec.MsgspecError as error:
        raise PresenceError(INVALID_INPUT, str(error)) from error


def _first(arguments: tuple[Any, ...]) -> Any:
    """Returns an empty object where a client sends nothing, or null."""
    return {} if not arguments or arguments[0] is None else arguments[0]


def _failed(error: PresenceError) -> dict[str, Any]:
    return {"ok": False, **error.to_wire()}
