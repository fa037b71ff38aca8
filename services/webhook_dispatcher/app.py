"""Wiring of webhook_dispatcher."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from libs.common import clock as system_clock
from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts import default_registry, webhooks
from libs.common.contracts.registry import Registry
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.outbound.guard import Resolver
from libs.common.service import Service
from services.webhook_dispatcher.delivery import Deliverer
from services.webhook_dispatcher.guard import WebhookGuard
from services.webhook_dispatcher.health_watch import HealthWatch
from services.webhook_dispatcher.log.deliveries import DeliveryHandlers
from services.webhook_dispatcher.pings.pinger import Pinger
from services.webhook_dispatcher.planner import CONSUMER, Planner
from services.webhook_dispatcher.posting.slots import Slots
from services.webhook_dispatcher.redelivery.redeliverer import Means, Redeliverer
from services.webhook_dispatcher.redelivery.redeliveries import RedeliveryHandlers
from services.webhook_dispatcher.retention import Pruner
from services.webhook_dispatcher.sender import Sender
from services.webhook_dispatcher.sending.endings import Endings
from services.webhook_dispatcher.sending.gauges import Gauges
from services.webhook_dispatcher.settings import Settings
from services.webhook_dispatcher.signed_sender import SignedSender
from services.webhook_dispatcher.subscriptions.changes import ChangeHandlers
from services.webhook_dispatcher.subscriptions.handlers import WebhookHandlers
from services.webhook_dispatcher.subscriptions.ownership import OPERATOR_TOKEN, Ownership, Rights
from services.webhook_dispatcher.subscriptions.trials import TrialHandlers

QUEUE_POOL = 3  # claiming, recording, and putting in order what ended: none of them waits for plans or for people
LOOKUPS = 8  # names of new URLs that are looked up side by side: slow name servers of theirs hold up no delivery
# A queue that was empty when its statements were planned may be a million long a minute later.
BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off"}


def build(
    settings: Settings,
    bus: Bus | None = None,
    *,
    registry: Registry | None = None,
    clock: Callable[[], datetime] = system_clock.now,
) -> Service:
    """The service; `bus` replaces RabbitMQ in tests, `registry` what there is to subscribe to."""
    settings = replace(settings, operators=(*settings.operators, OPERATOR_TOKEN))
    bus = bus or RabbitBus(settings.amqp_url, "webhook_dispatcher")
    registry = registry or default_registry()
    database = Database(settings.database_url, "webhook_dispatcher", settings.database_pool)
    reads = Database.reading(settings.database_url, "webhook_dispatcher", settings.database_reads)
    sealer = Sealer(settings.secret_key)
    resolver = Resolver(settings.webhook_concurrency)
    guard = WebhookGuard(
        settings.webhook_allowed_networks, require_https=settings.webhook_require_https, resolver=Resolver(LOOKUPS)
    )
    posts = Sender(guard, resolver, settings.webhook_timeout)
    sender = SignedSender(posts, sealer)
    queue = Database(settings.database_url, "webhook_dispatcher", QUEUE_POOL, options=BY_INDEX)
    slots = Slots(settings)
    deliverer = Deliverer(queue, registry, sender, slots, settings, clock)
    pinger = Pinger(database, sender, slots, settings, clock)
    planner = Planner(database, registry, deliverer.wake, clock)

    ownership, rights = Ownership(settings.operators), Rights(registry, settings.operators)
    redeliverer = Redeliverer(Means(database, registry, sender, slots, rights, clock), timeout=settings.webhook_timeout)

    def wake() -> None:
        deliverer.wake()
        pinger.wake()

    handlers = WebhookHandlers(database, reads, sealer, guard, ownership, rights, settings, pinger.wake, clock)
    changes = ChangeHandlers(database, sealer, guard, ownership, rights, settings, wake, clock)
    trials = TrialHandlers(database, reads, registry, sender, slots, ownership, rights, clock)
    log = DeliveryHandlers(reads, registry, ownership, rights, clock)
    redeliveries = RedeliveryHandlers(database, registry, ownership, redeliverer.wake, clock)

    bus.serve(webhooks.subscribe, handlers.subscribe)
    bus.serve(webhooks.list_subscriptions, handlers.list_subscriptions)
    bus.serve(webhooks.get_subscription, handlers.get_subscription)
    bus.serve(webhooks.unsubscribe, handlers.unsubscribe)
    bus.serve(webhooks.change, changes.change)
    bus.serve(webhooks.rotate_secret, changes.rotate)
    bus.serve(webhooks.send_test, trials.send_test)
    bus.serve(webhooks.list_deliveries, log.list_deliveries)
    bus.serve(webhooks.get_delivery, log.get_delivery)
    bus.serve(webhooks.count_deliveries, log.count)
    bus.serve(webhooks.redeliver, redeliveries.redeliver)
    bus.serve(webhooks.redeliver_range, redeliveries.redeliver_range)
    bus.subscribe(CONSUMER, planner.plan)

    # The bus starts last and drains first, so that what it planned can still go out.
    sending = (guard, queue, posts, deliverer, redeliverer, pinger)
    behind = (Endings(queue, clock), Gauges(reads, clock), HealthWatch(database, clock), Pruner(database, clock))
    return Service("webhook_dispatcher", [database, reads, *sending, *behind, bus])
