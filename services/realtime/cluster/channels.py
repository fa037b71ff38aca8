"""Subscriptions to spaces' Redis channels: confirmed, and rebuilt when Redis was away."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from libs.common.tasks.background import Background

_log = structlog.get_logger(__name__)
CONFIRM_SECONDS = 3.0
PROBE_SECONDS = 2.0  # how often a nonce is sent through, to prove that the subscription lives
SILENCE_SECONDS = 6.0  # without hearing one, the connection is taken for dead
RETRY_SECONDS = 0.25

type Receiver = Callable[[bytes], None]


class Channels:
    """`on_return` is called after every channel was subscribed again: messages may have been missed."""

    def __init__(self, redis: Redis, probe: str, on_return: Callable[[], None]) -> None:
        self._redis = redis
        self._probe = f"presence:probe:{probe}"
        self._on_return = on_return
        self._receivers: dict[str, Receiver] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._pubsub: PubSub | None = None
        self._changing = asyncio.Lock()  # SUBSCRIBE and UNSUBSCRIBE reach Redis in the order they were asked for
        self._background = Background()
        self._heard_at = float("-inf")
        self._began = False

    @property
    def ready(self) -> bool:
        """Returns whether a message published now would be heard."""
        return asyncio.get_running_loop().time() - self._heard_at < SILENCE_SECONDS

    async def start(self) -> None:
        self._background.begin(self._listen_forever(), self._probe_forever())

    async def stop(self) -> None:
        await self._background.end()

    async def subscribe(self, channel: str, receiver: Receiver) -> None:
        """Returns once Redis confirmed. Raises `RedisError`, `OSError` or `TimeoutError`."""
        self._receivers[channel] = receiver
        confirmed = self._waiting[channel] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                async with self._changing:
                    if self._pubsub is None:
                        raise ConnectionError("Redis is away")
                    await self._pubsub.subscribe(channel)
                await confirmed
        except BaseException:
            self._receivers.pop(channel, None)
            raise
        finally:
            self._waiting.pop(channel, None)

    async def unsubscribe(self, channel: str) -> None:
        """Nothing happens if somebody subscribed again in the meantime."""
        self._receivers.pop(channel, None)
        async with self._changing:
            if self._pubsub and channel not in self._receivers:
                with contextlib.suppress(Exception):  # a closed transport raises what the event loop likes to
                    await self._pubsub.unsubscribe(channel)  # the next connection does not subscribe to it

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._probe, *self._receivers)
                    self._pubsub = pubsub
                    await self._listen(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("live channel lost", error=repr(error))
            except Exception:
                _log.exception("live channel failed")
            finally:
                self._pubsub = None
                self._heard_at = float("-inf")
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, pubsub: PubSub) -> None:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await pubsub.get_message(timeout=None)
            if message is None:
                continue
            channel = message["channel"].decode()
            if message["type"] == "subscribe":
                self._confirm(channel)
            elif message["type"] == "message":
                self._dispatch(channel, message["data"])

    def _confirm(self, channel: str) -> None:
        waiter = self._waiting.get(channel)
        if waiter and not waiter.done():
            waiter.set_result(None)
        if channel == self._probe:
            self._heard()
            if self._began:
                self._on_return()
            self._began = True

    def _dispatch(self, channel: str, data: bytes) -> None:
        self._heard()
        receiver = self._receivers.get(channel)
        if receiver:
            receiver(data)

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    async def _probe_forever(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.publish(self._probe, b"alive")
            await asyncio.sleep(PROBE_SECONDS)
