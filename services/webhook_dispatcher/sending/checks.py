"""What every attempt asks, a batch at once: may the subscriber receive this, and were its words taken back since?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Last, Standing
from libs.common.contracts.content import document_deleted
from libs.common.contracts.registry import Registry
from libs.common.contracts.webhooks import for_moderators
from libs.common.contracts.webhooks.bodies import body_of, webhooks_of
from libs.common.db import event_log
from libs.common.db.redaction import words_are_gone
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher.refusals import Refusal, is_gone, refusal_of
from services.webhook_dispatcher.repository import Job

type Subscriber = tuple[SpaceKey, str]


class Checks:
    """Asks the policy and the log, for a batch of deliveries that were claimed."""

    def __init__(self, registry: Registry, operators: tuple[str, ...]) -> None:
        self._registry = registry
        self._operators = operators
        self._for_moderators = for_moderators(registry)

    async def refusals(self, connection: AsyncConnection, jobs: Sequence[Job]) -> dict[str, Refusal]:
        """Returns why deliveries may not be made, by their ids; those that may be are not in it."""
        standings = await self._standings(connection, {_subscriber(job) for job in jobs})
        refused = {
            job.id: refusal_of(job.created_by, standings[_subscriber(job)], job.event, self._for_moderators)
            for job in jobs
        }
        gone = [job for job in jobs if is_gone(standings[_subscriber(job)])]
        refused |= await self._of_the_gone(connection, gone)
        return {id: refusal for id, refusal in refused.items() if refusal}

    async def _of_the_gone(self, connection: AsyncConnection, jobs: Sequence[Job]) -> dict[str, Refusal | None]:
        """Judges, of documents that are gone, the deliveries that say so: by what each was up to its end."""
        if not jobs:
            return {}
        events = await event_log.read_events(connection, {job.event_id for job in jobs})
        last = {
            event.id: Last(event.payload["creator"], event.payload["public"])
            for event in events.values()
            if event.name == document_deleted.name
        }
        told = [job for job in jobs if job.event_id in last]
        asked = [(_subscriber(job)[0], _owner(job), last[job.event_id]) for job in told]
        standings = await access.look_back(connection, asked, self._operators)
        return {
            job.id: refusal_of(job.created_by, standing, job.event, self._for_moderators)
            for job, standing in zip(told, standings, strict=True)
        }

    async def _standings(
        self, connection: AsyncConnection, subscribers: set[Subscriber]
    ) -> Mapping[Subscriber, Standing]:
        by_type: dict[str, list[Subscriber]] = defaultdict(list)
        for subscriber in subscribers:
            by_type[subscriber[0].space_type].append(subscriber)
        standings: dict[Subscriber, Standing] = {}
        for several in by_type.values():
            asked = [(space, Identity("account", account, account)) for space, account in several]
            found = await access.look_everywhere(connection, asked, self._operators)
            standings.update(zip(several, found, strict=True))
        return standings

    async def taken_back(self, connection: AsyncConnection, jobs: Sequence[Job]) -> dict[str, bytes]:
        """Returns the bodies that the log gives now, by the deliveries' ids, where words were deleted since."""
        events = await event_log.read_subjects(connection, {job.event_id for job in jobs})
        bodies = {}
        for job in jobs:
            event = events.get(job.event_id)
            binding = webhooks_of(self._registry, event.name).get(job.event) if event else None
            if event and binding and words_are_gone(event.payload):
                bodies[job.id] = body_of(event, job.webhook_id, binding)
        return {job.id: bodies[job.id] for job in jobs if bodies.get(job.id, job.body) != job.body}


def with_bodies(jobs: Sequence[Job], bodies: Mapping[str, bytes]) -> list[Job]:
    """Returns the jobs, each with its new body if there is one."""
    return [replace(job, body=bodies[job.id]) if job.id in bodies else job for job in jobs]


def _owner(job: Job) -> Identity:
    return Identity("account", job.created_by, job.created_by)


def _subscriber(job: Job) -> Subscriber:
    return SpaceKey(job.space_type, job.space_id), job.created_by
