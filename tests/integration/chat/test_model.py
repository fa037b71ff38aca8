"""Any order of commands, crashes and redeliveries leaves what a simple model says.

The model is a few dictionaries. After every step the service's counts, unread and thread counters, reactions and
history must equal it, and at the end the log alone, replayed, gives the same messages.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from libs.common.contracts import chat
from libs.common.contracts.chat import ListEdits, Message, MessageId
from tests.integration.chat.world import World, running
from tests.support.refusals import refusal
from tests.support.servers import Servers

PEOPLE = ("alice", "bob", "dave")
EMOJI = ("👍", "❤️", "🎉")
AUTHORS, WORDS, EMOJIS = st.sampled_from(PEOPLE), st.sampled_from(["one", "two", "three"]), st.sampled_from(EMOJI)


@dataclass
class Told:
    """A message of the model."""

    author: str
    content: str | None
    parent: str | None
    seq: int
    history: list[str] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)


class Model(RuleBasedStateMachine):
    """`world` and `loop` are set by the test; each run has a space of its own."""

    world: World
    loop: asyncio.AbstractEventLoop
    runs = 0
    messages = Bundle("messages")
    commands = Bundle("commands")

    def __init__(self) -> None:
        super().__init__()
        Model.runs += 1
        self.space = {"space_type": "event", "space_id": f"model-{Model.runs}"}
        self.told: dict[str, Told] = {}
        self.cursors = dict.fromkeys(PEOPLE, 0)
        self.number = 0

    def wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def client_id(self) -> str:
        self.number += 1
        return f"c{self.number}"

    @rule(target=messages, who=AUTHORS, content=WORDS, crash=st.booleans())
    def post(self, who: str, content: str, crash: bool) -> str:
        return self._post(who, content, None, crash=crash)

    @rule(target=messages, who=AUTHORS, content=WORDS, parent=messages)
    def reply(self, who: str, content: str, parent: str) -> str:
        if self.told[parent].content is None:
            answer = self.wait(refusal(self.world.post(content, who, **self.space, parent_message_id=parent)))
            assert answer == "conflict"
            return parent
        return self._post(who, content, parent, crash=False)

    def _post(self, who: str, content: str, parent: str | None, *, crash: bool) -> str:
        asked = {**self.space, "client_message_id": self.client_id(), "parent_message_id": parent}
        if crash:  # the process dies after the commit, the answer is lost, and the command is sent again
            self.wait(self.world.post(content, who, **asked))
        both = [self.world.post(content, who, **asked) for _ in range(2)]
        message, again = self.wait(_together(*both))
        assert message == again, "delivered twice, one message"
        self.told[message.id] = Told(who, content, parent, message.seq)
        return message.id

    @rule(target=commands, who=AUTHORS, message=messages, content=WORDS)
    def edit(self, who: str, message: str, content: str) -> tuple[Any, ...]:
        command = ("edit", who, message, content, self.client_id())
        told = self.told[message]
        answer = self.wait(refusal(self._send(command)))
        if told.author != who:
            assert answer == "forbidden"
        elif told.content is None:
            assert answer == "conflict"
        elif told.content != content:
            told.history.append(told.content)
            told.content = content
        return command

    @rule(target=commands, who=AUTHORS, message=messages, emoji=EMOJIS, remove=st.booleans())
    def react(self, who: str, message: str, emoji: str, remove: bool) -> tuple[Any, ...]:
        command = ("react", who, message, emoji, self.client_id(), remove)
        told = self.told[message]
        answer = self.wait(refusal(self._send(command)))
        assert answer == ("ok" if told.content is not None else "conflict")
        by = told.reactions.setdefault(emoji, [])
        if told.content is not None and remove and who in by:
            by.remove(who)
        elif told.content is not None and not remove and who not in by:
            by.append(who)
        return command

    @rule(command=consumes(commands))
    def redeliver(self, command: tuple[Any, ...]) -> None:
        """The broker brings an old command once more; whatever came since stands."""
        self.wait(refusal(self._send(command)))
        # A command that was refused the first time left no trace, so the second delivery is judged anew.
        if command[0] == "edit" and self.told[command[2]].author == command[1]:
            assert self.wait(self._message(command[2])).content == self.told[command[2]].content

    def _send(self, command: tuple[Any, ...]) -> Coroutine[Any, Any, Any]:
        what, who, message, value, client_id = command[:5]
        about = Message.__new__(Message)
        object.__setattr__(about, "id", message)
        if what == "edit":
            return self.world.edit(about, value, who, client_message_id=client_id)
        return self.world.react(about, value, who, remove=command[5], client_message_id=client_id)

    @rule(message=messages, times=st.integers(1, 2))
    def delete(self, message: str, times: int) -> None:
        told = self.told[message]
        for _ in range(times):
            request = chat.DeleteMessage(message)
            self.wait(self.world.call(chat.delete_message, request, told.author))
        told.content, told.history, told.reactions = None, [], {}

    @rule(who=AUTHORS, message=messages)
    def read(self, who: str, message: str) -> None:
        about = self.wait(self._message(message))
        self.wait(self.world.read(about, who))
        self.cursors[who] = max(self.cursors[who], about.seq)

    async def _message(self, message_id: str) -> Message:
        return (await self.world.call(chat.get_message, MessageId(message_id))).message

    @invariant()
    def the_service_says_what_the_model_says(self) -> None:
        self.wait(self._compare())

    async def _compare(self) -> None:
        page = await self.world.page(**self.space, limit=200)
        assert [m.id for m in page.messages] == sorted(self.told, key=lambda id: self.told[id].seq)
        for message in page.messages:
            told = self.told[message.id]
            assert (message.content, message.is_deleted) == (told.content, told.content is None)
            assert message.thread_count == self._replies(message.id)
            shown = {emoji: {"count": len(by), "by": by} for emoji, by in told.reactions.items() if by}
            assert message.reactions == shown
            if told.history or message.is_edited:
                found = await self.world.call(chat.message_history, ListEdits(message.id, limit=200))
                assert [edit.content for edit in found.edits] == told.history
        for who in PEOPLE:
            assert await self.world.unread(who, **self.space) == self._unread(who)

    def _replies(self, message_id: str) -> int:
        return sum(told.parent == message_id and told.content is not None for told in self.told.values())

    def _unread(self, who: str) -> int:
        return sum(
            told.author != who and told.content is not None and told.parent is None and told.seq > self.cursors[who]
            for told in self.told.values()
        )

    def teardown(self) -> None:
        self.wait(self._replay())

    async def _replay(self) -> None:
        """The log alone gives the same texts, in the order of `seq` without holes."""
        rows = await self.world.owner.sql(
            "SELECT name, payload, seq FROM event_log WHERE space_id = :space ORDER BY seq",
            space=self.space["space_id"],
        )
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        texts: dict[str, str | None] = {}
        for row in rows:
            if row.name in ("chat.message_posted", "chat.message_edited"):
                texts[row.payload["id"]] = row.payload["content"]
            elif row.name == "chat.message_deleted":
                texts[row.payload["id"]] = None
        assert texts == {id: told.content for id, told in self.told.items()}


async def _together[T](*work: Coroutine[Any, Any, T]) -> list[T]:
    return list(await asyncio.gather(*work))


@pytest.mark.timeout(600)
async def test_any_order_of_commands_crashes_and_redeliveries_equals_the_model(servers: Servers) -> None:
    async with running(await servers.new_database(), servers.new_redis_database(), []) as world:
        Model.world, Model.loop = world, asyncio.get_running_loop()
        rules = settings(
            max_examples=20, stateful_step_count=25, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        await asyncio.to_thread(run_state_machine_as_test, Model, settings=rules)
