"""The scenarios that are measured, one function each; the table at the bottom is the map.

A goal is stated where it is judged. Peers get the same messages, the same number of clients and the same cores.
"""

from dataclasses import dataclass

from bench.generator import Run
from bench.lab import US, Contestant, Figure, Lab, Outcome, Scenario
from bench.peers import NODE, STOCK, TITLES, WS
from bench.rest import rest
from bench.system import OURS

MISSING: Run = {}
DELIVERIES, P99, DELIVERED, CPU = "delivered_per_s", "p99_ms", "delivered_ratio", "server_cpu"
BOTH = ("r1", "r2")
BATCH = '"pose-batch"'  # as it stands in `join-space`
COMPACT = '"pose-compact"'
POSE_SAMPLE = 20  # every so manieth client looks into what it receives
LATE_MS = 100.0
BUSY, DISTURBED = 0.93, 0.05  # parts of a core


@dataclass(frozen=True)
class Goal:
    """The goal of a figure: `words` for people, `least` and `most` for the judgement."""

    words: str
    least: float = float("-inf")
    most: float = float("inf")

    def met_by(self, value: float | None) -> bool | None:
        return None if value is None else self.least <= value <= self.most


def compared(outcome: Outcome, name: str, key: str, unit: str, peer: str, goal: Goal) -> Figure:
    """A row whose goal is about the ratio of ours to the peer's."""
    ours = outcome.medians.get(OURS, MISSING).get(key, float("nan"))
    theirs = outcome.medians.get(peer, MISSING).get(key)
    met = goal.met_by(ours / theirs) if theirs else None
    return Figure(name, ours, unit, goal.words, met, TITLES[peer], theirs, note(outcome))


def absolute(outcome: Outcome, name: str, key: str, unit: str, goal: Goal, peer: str = "") -> Figure:
    """A row whose goal is about our own value."""
    ours = outcome.medians.get(OURS, MISSING).get(key, float("nan"))
    theirs = outcome.medians.get(peer, MISSING).get(key)
    met = goal.met_by(ours) if goal.words else None
    return Figure(name, ours, unit, goal.words, met, TITLES.get(peer, ""), theirs, note(outcome))


def note(outcome: Outcome) -> str:
    """Returns what makes the figures worth less: a generator at its limit, or others' work on the server's core."""
    median = outcome.medians.get(OURS, MISSING)
    notes = ["the generator was the limit"] if median.get("generator_cpu", 0.0) > BUSY else []
    waited = median.get("server_waited", 0.0)
    if waited > DISTURBED:
        notes.append(f"disturbed: the server waited {waited:.0%} of the time for its core")
    return "; ".join(notes)


NONE = Goal("")


async def fanout(lab: Lab) -> Outcome:
    """One sender, one message under way: nothing to batch."""
    people = lab.plan.people(1000)
    servers = [US, *map(Contestant, (NODE, STOCK, WS))]
    found = await lab.compare(servers, "fanout", people, senders=1, window=1)
    title = f"fan-out, no batching (1 sender, 1 under way), {people} clients"
    found.figures = [
        compared(found, title, DELIVERIES, "deliveries/s", NODE, Goal("≥ 1.2 x Node", least=1.2)),
        compared(found, title, DELIVERIES, "deliveries/s", STOCK, Goal("≥ 6 x stock", least=6)),
        compared(found, title, DELIVERIES, "deliveries/s", WS, NONE),
        compared(found, f"{title}: server CPU a delivery", "server_us_per_delivery", "µs", NODE, NONE),
    ]
    return found


async def load(lab: Lab) -> Outcome:
    """Ten senders, twenty messages under way: as much as the server can."""
    people = lab.plan.people(1000)
    servers = [US, *map(Contestant, (NODE, STOCK, WS))]
    senders = min(10, people - 1)
    found = await lab.compare(servers, "fanout", people, senders=senders, window=20)
    title = f"fan-out under load (10 senders, 20 under way), {people} clients"
    found.figures = [
        compared(found, title, DELIVERIES, "deliveries/s", NODE, Goal("≥ 8 x Node", least=8)),
        compared(found, f"{title}: latency p99", P99, "ms", NODE, Goal("≤ Node's", most=1)),
        compared(found, title, DELIVERIES, "deliveries/s", STOCK, NONE),
        compared(found, title, DELIVERIES, "deliveries/s", WS, NONE),
        compared(found, f"{title}: server CPU a delivery", "server_us_per_delivery", "µs", NODE, NONE),
    ]
    return found


async def cpu(lab: Lab) -> Outcome:
    """Both at half of what Node can do at most."""
    people = lab.plan.people(1000)
    most = await lab.compare([Contestant(NODE)], "fanout", people, senders=1, window=1)
    rate = most.medians[NODE][DELIVERIES] / 2 / (people - 1)
    senders = min(10, people - 1)
    found = await lab.compare([US, Contestant(NODE)], "fanout", people, senders=senders, rate=rate)
    title = f"CPU at half of Node's maximum ({rate * (people - 1):.0f} deliveries/s), {people} clients"
    found.figures = [
        compared(found, title, CPU, "cores", NODE, Goal("≤ 0.75 x Node's", most=0.75)),
        compared(found, "the same: latency p99", P99, "ms", NODE, NONE),
    ]
    return found


async def pose(lab: Lab) -> Outcome:
    """Everyone moves ten times a second; clients that know nothing of batches."""
    people = lab.plan.people(400)
    found = await lab.compare([US, Contestant(NODE)], "pose", people, hertz=10, sample=_sample(people))
    title = f"one room, 10 Hz each, legacy clients, {people} clients"
    found.figures = _pose_figures(found, title, Goal("p99 < 100 ms", most=LATE_MS), NODE)
    await _stretch(lab, found, 600, Goal("p99 < 100 ms", most=LATE_MS), "")
    return found


async def _stretch(lab: Lab, found: Outcome, people: int, goal: Goal, features: str) -> None:
    """Measures ours alone with more people."""
    if not lab.plan.stretch:
        return
    more = lab.plan.people(people)
    options = {"hertz": 10, "sample": _sample(more), "features": features}
    stretch = await lab.compare([US], "pose", more, **options)
    found.figures += _pose_figures(stretch, f"stretch: the same, {more} clients", goal)
    found.medians["presence, stretch"] = stretch.medians.get(OURS, MISSING)
    found.runs["presence, stretch"] = stretch.runs.get(OURS, [])


def _sample(people: int) -> int:
    return max(min(POSE_SAMPLE, people // 8), 1)


def _pose_figures(found: Outcome, title: str, goal: Goal, peer: str = "") -> list[Figure]:
    return [
        absolute(found, f"{title}: age of a pose, p99", P99, "ms", goal, peer),
        absolute(found, f"{title}: delivered", DELIVERED, "of those sent", Goal("≥ 99 %", least=0.99), peer),
        absolute(found, f"{title}: CPU", CPU, "cores", NONE),
    ]


async def pose_batch(lab: Lab) -> Outcome:
    """Everyone moves; clients take a tick's poses as one packet, compact or as JSON. Node gets the plain load."""
    people = lab.plan.people(1000)
    options = {"hertz": 10, "sample": _sample(people)}
    found = await lab.compare([US, Contestant(NODE)], "pose", people, features=COMPACT, **options)
    title = f"one room, 10 Hz each, pose-batch, compact, {people} clients"
    found.figures = _pose_figures(found, title, Goal("p99 < 100 ms", most=LATE_MS), NODE)
    await _stretch(lab, found, 2000, Goal("p99 < 150 ms", most=150), COMPACT)
    as_json = await lab.compare([US], "pose", people, features=BATCH, **options)
    found.figures += _pose_figures(as_json, title.replace("compact", "JSON"), NONE)
    found.medians["presence, JSON"] = as_json.medians.get(OURS, MISSING)
    found.runs["presence, JSON"] = as_json.runs.get(OURS, [])
    return found


async def replicas(lab: Lab) -> Outcome:
    """One room on two replicas and Redis. The whole system shares the machine."""
    lab.server_alone(False)
    people = lab.plan.people(1000)
    two = Contestant(NODE, processes=2, arguments=(lab.system.redis_url,))
    options = {"hertz": 10, "sample": _sample(people), "features": COMPACT}
    found = await lab.compare([Contestant(OURS, BOTH), two], "pose", people, **options)
    title = f"two replicas and Redis, 10 Hz each, {people} clients in one room"
    found.figures = _pose_figures(found, title, Goal("p99 < 150 ms", most=150), NODE)
    return found


async def memory(lab: Lab) -> Outcome:
    """Connections that do nothing, of clients that offer permessage-deflate as browsers do."""
    found = Outcome()
    people = lab.plan.people(1000)
    servers = [US, *map(Contestant, (NODE, STOCK))]
    for words, joined in (("connected", False), ("in a space", True)):
        await lab.system.restart("r1")
        lab.server_alone(True)
        idle = await lab.compare(servers, "idle", max(people, 64), deflate=True, no_join=not joined)
        # Peers are new processes in each run; ours is one, and in later runs uses again what it has freed.
        mine = [run["kb_per_connection"] for run in idle.runs.get(OURS, []) if "kb_per_connection" in run]
        if mine:
            idle.medians[OURS]["kb_per_connection"] = max(mine)
        name = f"memory per idle connection, {words}, client offers deflate"
        goal = Goal("≤ 30 KB", most=30)
        found.figures += [absolute(idle, name, "kb_per_connection", "KB", goal, peer) for peer in (NODE, STOCK)]
        found.medians |= {f"{server}, {words}": figures for server, figures in idle.medians.items()}
        found.runs |= {f"{server}, {words}": runs for server, runs in idle.runs.items()}
    return found


async def chat(lab: Lab) -> Outcome:
    """Durable messages through the whole system, every one counted at every member."""
    return await _chat(lab, 10_000, lab.plan.chat_seconds, "")


async def chat_stretch(lab: Lab) -> Outcome:
    """Six times as many, for a third of the time."""
    return await _chat(lab, 60_000, lab.plan.chat_seconds / 3, "stretch: ")


async def _chat(lab: Lab, per_minute: int, seconds: float, prefix: str) -> Outcome:
    lab.server_alone(False)
    people = lab.plan.people(1000)
    rate = per_minute / 60 if lab.plan.stretch else 20  # the quick run judges nothing
    options = {"rate": rate, "senders": max(people // 10, 1), "seconds": seconds}
    found = await lab.compare([Contestant(OURS, BOTH)], "chat", people, **options)
    title = f"{prefix}durable chat to {people} members, {rate * 60:,.0f} messages a minute"
    none = Goal("none", most=0)
    found.figures = [
        absolute(found, f"{title}: latency p99", P99, "ms", Goal("p99 < 250 ms", most=250)),
        absolute(found, f"{title}: lost deliveries", "lost_deliveries", "", none),
        absolute(found, f"{title}: refused or never acknowledged", "not_accepted", "messages", none),
        absolute(found, f"{title}: twice", "doubled_deliveries", "", none),
        absolute(found, f"{title}: out of order", "disordered_deliveries", "", none),
        absolute(found, f"{title}: time until the ack, p99", "ack_p99_ms", "ms", NONE),
    ]
    return found


async def chat_highest(lab: Lab) -> Outcome:
    """How many messages a minute hold the goal: higher rates until one fails."""
    lab.server_alone(False)
    people = lab.plan.people(1000)
    found, best = Outcome(), 0
    for per_minute in (12_500, 15_000, 17_500, 20_000, 25_000, 30_000):
        options = {"rate": per_minute / 60, "senders": max(people // 10, 1), "seconds": lab.plan.chat_seconds / 3}
        run = await lab.compare([Contestant(OURS, BOTH)], "chat", people, **options)
        median = run.medians.get(OURS, MISSING)
        found.medians[f"{OURS}, {per_minute} a minute"] = median
        found.runs[f"{OURS}, {per_minute} a minute"] = run.runs.get(OURS, [])
        if not median or median[P99] >= 250 or median["lost_deliveries"] or median["not_accepted"]:
            break
        best = per_minute
    title = f"durable chat to {people} members: the highest rate tried with p99 < 250 ms and none lost"
    found.figures = [Figure(title, float(best), "messages a minute", "", None, "", None)]
    return found


async def joins(lab: Lab) -> Outcome:
    """A crowd enters at once; each wants its snapshot, and those who are there go on talking."""
    lab.server_alone(False)
    people, others = lab.plan.people(1000), lab.plan.people(100) // 2
    options = {"others": others, "senders": others, "rate": 20, "connect_seconds": 60}
    found = await lab.compare([Contestant(OURS, BOTH)], "joins", people + others, **options)
    title = f"{people} people join one room at once"
    found.figures = [
        absolute(found, f"{title}: all have their snapshot", "join_max_ms", "ms", Goal("< 5 s", most=5000)),
        absolute(found, f"{title}: how many got in", "joined", "people", Goal(f"{people}", people, people)),
        absolute(found, f"{title}: others' chat meanwhile, p99", P99, "ms", Goal("p99 < 250 ms", most=250)),
        absolute(found, f"{title}: others' chat lost", "lost_deliveries", "", Goal("none", most=0)),
    ]
    return found


async def slow(lab: Lab) -> Outcome:
    """Some never read: they cost little memory, are dropped, and nobody else notices."""
    people = lab.plan.people(200)
    stalled = max(people // 10, 1)
    options = {"senders": 1, "rate": 500, "bytes": 3500, "stalled": stalled, "seconds": 2 * lab.plan.seconds}
    found = await lab.compare([US, Contestant(NODE)], "fanout", people, **options)
    title = f"{stalled} of {people} clients never read"
    dropped = Goal(f"all {stalled}", stalled, stalled)
    found.figures = [
        absolute(found, f"{title}: the server grows by", "rss_growth_mb", "MB", Goal("< 5 MB", most=5), NODE),
        absolute(found, f"{title}: dropped", "lost_connections", "clients", dropped, NODE),
        absolute(found, f"{title}: others' latency p99", P99, "ms", NONE, NODE),
    ]
    return found


async def crowd(lab: Lab) -> Outcome:
    """How many may move in one room before poses are late: bigger rooms until one fails."""
    ladders = {NODE: (50, 70, 90, 110, 130, 160), STOCK: (20, 30, 40, 50, 65, 80), OURS: (200, 300, 400, 500, 600, 800)}
    found = Outcome()
    largest = {name: await _climb(lab, found, name, sizes) for name, sizes in ladders.items()}
    title = "people in one room, 10 Hz each, legacy clients, p99 < 100 ms and ≥ 99 % delivered"
    found.figures = [Figure(title, largest[OURS], "people", "", None, TITLES[p], largest[p]) for p in (NODE, STOCK)]
    return found


async def _climb(lab: Lab, found: Outcome, name: str, sizes: tuple[int, ...]) -> float:
    """The greatest size that was still good; 0 if none was."""
    best = 0
    for people in map(lab.plan.people, sizes):
        run = await lab.compare([Contestant(name)], "pose", people, hertz=10, sample=_sample(people))
        median = run.medians.get(name, MISSING)
        found.medians[f"{name}, {people} people"] = median
        if not median or median[P99] >= LATE_MS or median[DELIVERED] < 0.99:
            break
        best = people
    return float(best)


SCENARIOS: dict[str, Scenario] = {
    "fanout": fanout,
    "load": load,
    "cpu": cpu,
    "pose": pose,
    "pose-batch": pose_batch,
    "replicas": replicas,
    "memory": memory,
    "chat": chat,
    "joins": joins,
    "slow": slow,
    "chat-stretch": chat_stretch,
    "chat-highest": chat_highest,
    "crowd": crowd,
    "rest": rest,
}
BRIEF = ("fanout", "pose-batch", "chat", "joins")  # of the quick run
