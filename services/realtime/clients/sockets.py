"""What clients may send: the product's own signals by hand, the registry's operations by one rule.

Every event is acked with `{ok: true, ...}` or `{ok: false, error, code}`; a failure is also told by
`space-error` or `chat-error`. A socket's commands are carried out in the order in which it sent them;
its poses pass them.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import msgspec
import socketio
import structlog

from libs.common.bus.base import Bus
from libs.common.contracts.presence import AframeUpdate, EntityEvent, JoinSpace, NafRoom
from libs.common.contracts.registry import Operation, Registry, Socket
from libs.common.contracts.schema import dump, has_field
from libs.common.edge.commands import ClientCall, Commands
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.edge.limits import RateLimits
from libs.common.edge.nesting import is_too_deep
from libs.common.edge.origin import client_address
from libs.common.errors import FORBIDDEN, INTERNAL, INVALID_INPUT, RATE_LIMITED, PresenceError
from libs.common.ids import new_id
from libs.common.metrics import SOCKETS
from services.realtime.clients.quotas import Quota, Quotas
from services.realtime.clients.signals import Handler, Signals, check_avatar
from services.realtime.membership.entering import Entering
from services.realtime.naf.adapter import NafAdapter
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import MAX_WAITING, MOST_SIGNALS, Client, SignalBudget
from services.realtime.settings import Settings
from services.realtime.transport.engine import frame
from services.realtime.transport.packets import DEFAULT_NAMESPACE, NAMESPACES, EventPacket
from services.realtime.transport.server import MAX_MESSAGE

_log = structlog.get_logger(__name__)

LONGEST_ACK_ID = 20  # digits
# Why a socket went that somebody wanted gone; whatever else it was, the connection broke.
_MEANT = {socketio.AsyncServer.reason.CLIENT_DISCONNECT, socketio.AsyncServer.reason.SERVER_DISCONNECT}
_decode = msgspec.json.Decoder().decode
_decode_entity_event = msgspec.json.Decoder(EntityEvent).decode
_POSE = '["aframe-update",'
type HotRow = tuple[str, Callable[[str], Any], Callable[[Client, Any], None]]

type Command = Callable[[Client, Any], Awaitable[dict[str, Any]]]


class Sockets:
    """The sockets of this replica, by id."""

    def __init__(
        self, server: socketio.AsyncServer, registry: Registry, bus: Bus, gatekeeper: Gatekeeper, limits: RateLimits,
        entering: Entering, signals: Signals, naf: NafAdapter, settings: Settings,
    ) -> None:  # fmt: skip
        self._server, self._gatekeeper = server, gatekeeper
        self._commands = Commands(bus, limits)
        self._entering, self._signals, self._naf = entering, signals, naf
        self._trusted = settings.trusted_proxies
        self._most_signals = round(MOST_SIGNALS * settings.rate_limit_factor)
        self._hot_table: tuple[HotRow, ...] = (
            (_POSE, msgspec.json.Decoder(AframeUpdate).decode, signals.take_pose),
            ('["entity-event",', _read_entity_event, signals.relay_entity_event),
        )
        self.clients: dict[str, Client] = {}
        self._quotas, self._taken = Quotas(settings), cast("dict[str, list[Quota]]", {})
        for namespace in NAMESPACES:
            self._register(namespace, registry)

    def _register(self, namespace: str, registry: Registry) -> None:
        async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
            await self._connect(namespace, sid, environ, auth)

        self._server.on("connect", connect, namespace=namespace)
        self._server.on("disconnect", self._disconnect, namespace=namespace)
        for event, (form, handler) in self._signals.table.items():
            self._server.on(event, self._signal(event, form, handler), namespace=namespace)
        commands: dict[str, Command] = {
            "join-space": self._join_space,
            "leave-space": self._leave_space,
            "joinRoom": self._join_room,
        }
        for operation, binding in registry.bound(Socket):
            if isinstance(operation, Operation):
                commands[binding.event] = self._bus_command(operation, binding)
        for event, command in commands.items():
            self._server.on(event, self._in_turn(event, command), namespace=namespace)

    # Connecting.

    async def _connect(self, namespace: str, sid: str, environ: dict[str, Any], auth: Any) -> None:
        request = environ["aiohttp.request"]
        address = client_address(request.remote or "", request.headers.get("X-Forwarded-For"), self._trusted)
        claimed = auth.get("token") if isinstance(auth, dict) else None
        try:
            token = await self._gatekeeper.identify(claimed if isinstance(claimed, str) else "")
            quotas = self._quotas.take(token, address)
        except PresenceError as error:
            raise socketio.exceptions.ConnectionRefusedError(error.text, error.to_wire()) from error
        self._taken[sid] = quotas
        engine = self._server.eio.sockets[self._server.manager.eio_sid_from_sid(sid, namespace)]
        budgets = [SignalBudget(self._most_signals), *(quota.budget for quota in quotas)]
        client = self.clients[sid] = Client(sid, namespace, engine, token, address, budgets)
        if namespace == DEFAULT_NAMESPACE:
            engine.hot = partial(self._hot, client)
        SOCKETS.set(len(self.clients))
        _log.info("Socket connected", sid=sid, identity=token.identity.key)

    async def _disconnect(self, sid: str, reason: str) -> None:
        client = self.clients.pop(sid, None)
        if client is None:
            return
        self._quotas.give_back(self._taken.pop(sid))
        SOCKETS.set(len(self.clients))
        _log.info("Socket disconnected", sid=sid, reason=reason)
        async with client.turn:  # after a join that is still under way
            if reason not in _MEANT:
                await self._entering.drop(client)
            else:
                await self._entering.leave(client, "disconnected")

    async def let_go(self, client: Client) -> None:
        """Hang up, so that it comes back to another replica, and keep its place there."""
        client.engine.hang_up()
        async with client.turn:
            await self._entering.drop(client)

    async def end(self, client: Client) -> None:
        """Disconnect it for cause; it was told why."""
        await self._server.disconnect(client.sid, namespace=client.namespace)

    # Signals.

    def _hot(self, client: Client, text: str) -> bool:
        """A hot signal on the shortest way. Whatever is wrong with it, the long way answers."""
        bracket = text.find("[", 2, 2 + LONGEST_ACK_ID)
        ack_id = text[2:bracket]
        if not client.is_inside or len(text) > MAX_MESSAGE or not text.startswith("42") or bracket < 0:
            return False
        if ack_id and not ack_id.isdecimal():
            return False
        for start, decode, take in self._hot_table:
            if text.startswith(start, bracket):
                if client.exceeds_budget():
                    return start == _POSE and not ack_id  # the latest pose counts, and another is near
                if is_too_deep(text):
                    return False
                try:
                    take(client, decode(text[bracket + len(start) : -1]))
                except (msgspec.MsgspecError, PresenceError):
                    return False
                if ack_id:
                    client.engine.write(frame(f'43{ack_id}[{{"ok":true}}]'.encode()))
                return True
        return False

    def _signal(self, event: str, form: type, handler: Handler) -> Any:
        async def run(sid: str, *arguments: Any) -> dict[str, Any]:
            client = self.clients.get(sid)
            if client is None:
                return _failed(PresenceError(FORBIDDEN))
            try:
                if client.exceeds_budget():
                    raise PresenceError(RATE_LIMITED, f"At most {MOST_SIGNALS} signals a second.")
                return {"ok": True, **await handler(client, _convert(arguments, form))}
            except PresenceError as error:
                self._tell_error(client, event, error)
                return _failed(error)

        return run

    # Commands.

    def _in_turn(self, event: str, command: Command) -> Any:
        async def run(sid: str, *arguments: Any) -> dict[str, Any]:
            client = self.clients.get(sid)
            if client is None:
                return _failed(PresenceError(FORBIDDEN))
            try:
                return {"ok": True, **await self._carry_out(client, command, arguments)}
            except PresenceError as error:
                self._tell_error(client, event, error)
                return _failed(error)
            except Exception:
                _log.exception("command failed", event_name=event, sid=sid)
                return _failed(PresenceError(INTERNAL))

        return run

    async def _carry_out(self, client: Client, command: Command, arguments: tuple[Any, ...]) -> dict[str, Any]:
        if client.waiting >= MAX_WAITING:
            raise PresenceError(RATE_LIMITED, "Too many commands at once; wait for their acks.")
        client.waiting += 1
        try:
            async with client.turn:
                return await command(client, _first(arguments))
        finally:
            client.waiting -= 1

    def _tell_error(self, client: Client, event: str, error: PresenceError) -> None:
        name = "chat-error" if event.startswith("chat") else "space-error"
        Broadcast.to_one(client, EventPacket(name, error.to_wire()))

    async def _join_space(self, client: Client, data: Any) -> dict[str, Any]:
        client.spend_join()
        request = _convert((data,), JoinSpace)
        check_avatar(request.avatar_data)
        if request.token is not None:
            await self._take_token(client, request.token)
        client.token = await self._gatekeeper.check_again(client.token)
        return await self._entering.enter(client, request)

    async def _take_token(self, client: Client, encoded: str) -> None:
        """Whoever becomes somebody else leaves at once where they were let in, and are shown, as who they were."""
        token = await self._gatekeeper.identify(encoded)
        if token.identity.key != client.token.identity.key:
            await self._entering.leave(client, "left")
        client.token = token

    async def _join_room(self, client: Client, data: Any) -> dict[str, Any]:
        client.spend_join()
        client.token = await self._gatekeeper.check_again(client.token)
        return await self._naf.join_room(client, _convert((data,), NafRoom))

    async def _leave_space(self, client: Client, _: Any) -> dict[str, Any]:
        await self._entering.leave(client, "left")
        return {}

    def _bus_command(self, operation: Operation[Any, Any], binding: Socket) -> Command:
        async def command(client: Client, data: Any) -> dict[str, Any]:
            async def read() -> dict[str, Any]:
                if not isinstance(data, dict):
                    raise PresenceError(INVALID_INPUT, "The payload must be an object.")
                renamed = {binding.rename.get(name, name): value for name, value in data.items()}
                return {**renamed, **_where(operation, client)}

            call = ClientCall(operation, client.token, client.address, new_id())
            return dump(await self._commands.carry_out(call, read))

        return command


def _read_entity_event(text: str) -> EntityEvent:
    """Its `data` stays JSON, but is read once: a number that is out of range could not be read by others."""
    event = _decode_entity_event(text)
    _decode(event.data)
    return event


def _where(operation: Operation[Any, Any], client: Client) -> dict[str, Any]:
    """A command on a space is about the one the socket is in, whatever it says."""
    if not has_field(operation.request, "space_id"):
        return {}
    if client.place is None:
        raise PresenceError(FORBIDDEN, "Join a space first.")
    space = client.place.space
    return {"space_type": space.space_type, "space_id": space.space_id, "subspace": client.place.subspace}


def _convert[T](arguments: tuple[Any, ...], form: type[T]) -> T:
    """The first argument as its struct. It is encoded again, since some structs keep JSON as it is."""
    try:
        return msgspec.json.decode(msgspec.json.encode(_first(arguments)), type=form)
    except (msgspec.MsgspecError, TypeError) as error:
        raise PresenceError(INVALID_INPUT, str(error)) from error


def _first(arguments: tuple[Any, ...]) -> Any:
    """A client that sends nothing, or null, means an empty object."""
    return {} if not arguments or arguments[0] is None else arguments[0]


def _failed(error: PresenceError) -> dict[str, Any]:
    return {"ok": False, **error.to_wire()}
