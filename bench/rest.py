"""REST beside `/health` of the same process and beside Express: `make bench ARGS=rest`.

Each row is asked with wrk for some seconds, with 16 connections and the heaviest with 256 too; rows, `/health` and the
peer take turns. Our gateway is asked at its own port; the whole system, PostgreSQL and wrk share the machine. CPU is
the sum over all our processes and PostgreSQL, a request.
"""

import asyncio
import re
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg

from bench.generator import LoadError, Run
from bench.lab import Figure, Lab, Outcome, medians
from bench.machine import ALL
from bench.peers import EXPRESS, TITLES, peer
from deploy.local.packages import Program, ensure

WRK = Program("wrk", "wrk")
FEW, MANY = 16, 256  # connections
SPACE = "post/user1/post-1"
LIST, DETAIL, JOIN = "/api/spaces?limit=20", f"/api/spaces/{SPACE}", f"/api/spaces/{SPACE}/join"
CHAT = f"/api/chat/{SPACE}/messages?limit=50"
SMALL, LARGE = 1_000, 1_000_000  # posts
MESSAGES = 60
_POSTS = """
INSERT INTO posts (author, permlink, block, type, votes, title, description, created_at, hidden, row_hash, asked_at,
  due_at)
SELECT 'user' || n % 20000, 'post-' || n, n, (ARRAY['360', 'vrml', 'aframe', 'blog', 'art', 'game'])[1 + n % 6],
  floor(1000 * power(random(), 4)), 'Post ' || n, 'Words of a post', now() - n * interval '1 minute', n % 100 = 0, 'x',
  now(), now() + interval '7 days'
FROM generate_series($1::int, $2::int) n ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Row:
    """A request, its goals, and whether the peer answers it: of `/health`, of the peer's rate, and CPU in ms."""

    name: str
    path: str
    method: str = "GET"
    token: bool = False
    of_health: float = 0.0
    of_peer: float = 0.0
    most_cpu: float = 0.0
    connections: int = FEW

    @property
    def key(self) -> str:
        return f"{self.name}, {self.connections} connections"


HEALTH = Row("/health", "/health")
ROWS = (
    Row("list", LIST, of_health=0.5, of_peer=3),
    Row("a space", DETAIL, of_health=0.5, of_peer=3),
    Row("chat page of 50", CHAT, of_health=0.5, of_peer=3),
    Row("list, with a token", LIST, token=True, of_health=0.2, of_peer=1, most_cpu=1.8),
    Row("a space, with a token", DETAIL, token=True, of_health=0.2, of_peer=1, most_cpu=1.2),
    Row("chat page of 50, with a token", CHAT, token=True, of_health=0.2, of_peer=1, most_cpu=1.5),
    Row("join", JOIN, "POST", token=True, of_health=0.2, of_peer=1, most_cpu=1.8),
    Row("who am I", "/api/auth/me", token=True, of_health=0.4),
    Row("TURN credentials", "/api/turn-credentials", token=True, of_health=0.4),
    Row("a guest's token", "/api/auth/guest", "POST", of_health=0.4),
    Row("list, with a token", LIST, token=True, connections=MANY),
    Row("join", JOIN, "POST", token=True, connections=MANY),
)


class Rest:
    """Asks ours and the peer in turn. `folder` is for wrk's scripts."""

    def __init__(self, lab: Lab, folder: Path, ours: str, theirs: str, token: str) -> None:
        self._lab = lab
        self._folder = folder
        self._bases = {"": ours, EXPRESS: theirs}
        self._token = token
        self.outcome = Outcome()

    async def measure(self, rows: tuple[Row, ...], note: str = "") -> None:
        """Puts runs and medians of each row, and of the peer where it has one, into the outcome.

        A run that fails is left out and said.
        """
        for _ in range(self._lab.plan.runs):
            for row in rows:
                for server in ("", EXPRESS) if row.of_peer else ("",):
                    try:
                        await self._run(row, server, note)
                    except LoadError as error:
                        self._lab.say(f"    {row.key}{note}: failed: {error}")
        self.outcome.medians = {name: medians(runs) for name, runs in self.outcome.runs.items()}

    async def _run(self, row: Row, peer_name: str, note: str) -> None:
        url, script = self._bases[peer_name] + row.path, self._script(row)
        await wrk(url, script, row.connections, 1)  # which does not count
        before = self._lab.system.cpu_by_component()
        run = read(await wrk(url, script, row.connections, max(round(self._lab.plan.seconds), 1)))
        after = self._lab.system.cpu_by_component()
        if not peer_name:
            spent = {name: (after[name] - before.get(name, 0.0)) * 1000 / run["requests"] for name in after}
            run |= {f"{name}_ms": value for name, value in spent.items()}
            run["cpu_ms"] = sum(spent.values())
        name = f"{TITLES[peer_name]}: {row.key}{note}" if peer_name else f"{row.key}{note}"
        self._lab.say(
            f"    {name}: {run['per_s']:.0f}/s, p99 {run['p99_ms']:.0f} ms, {run.get('cpu_ms', 0):.2f} ms CPU"
        )
        self.outcome.runs.setdefault(name, []).append(run)

    def _script(self, row: Row) -> Path:
        lines = [f'wrk.method = "{row.method}"']
        if row.method == "POST":
            lines += ['wrk.body = "{}"', 'wrk.headers["Content-Type"] = "application/json"']
        if row.token:
            lines.append(f'wrk.headers["Authorization"] = "Bearer {self._token}"')
        script = self._folder / f"{row.method}-{row.token}.lua"
        script.write_text("\n".join(lines) + "\n")
        return script

    def figures(self) -> list[Figure]:
        return [figure for row in ROWS if row.key in self.outcome.medians for figure in self._figures_of(row)]

    def _figures_of(self, row: Row) -> list[Figure]:
        ours, found = self.outcome.medians[row.key], []
        peers = (
            (row.of_health, "/health", HEALTH.key),
            (row.of_peer, TITLES[EXPRESS], f"{TITLES[EXPRESS]}: {row.key}"),
        )
        for least, title, key in peers:
            if least and key in self.outcome.medians:
                goal, theirs = f"≥ {least:g} x {title}", self.outcome.medians[key]["per_s"]
                met = ours["per_s"] / theirs >= least
                found.append(Figure(row.key, ours["per_s"], "requests/s", goal, met, title, theirs))
        if row.most_cpu:
            goal, met = f"≤ {row.most_cpu:g} ms", ours["cpu_ms"] <= row.most_cpu
            found.append(Figure(f"{row.key}: CPU of all of ours, a request", ours["cpu_ms"], "ms", goal, met))
        if row.connections == MANY:
            goal, met = "none fails, p99 < 500 ms", ours["failed"] == 0 and ours["p99_ms"] < 500
            found.append(Figure(f"{row.key}: p99", ours["p99_ms"], "ms", goal, met))
        return found


async def wrk(url: str, script: Path, connections: int, seconds: int) -> str:
    """Returns what wrk says of one run."""
    options = ("-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url)
    process = await asyncio.create_subprocess_exec("wrk", *options, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode()


def read(said: str) -> Run:
    """Returns the figures in wrk's words. Raises `LoadError` where nothing was answered."""
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said)
    if not rate or not count or not late or not int(count[1]):
        raise LoadError(f"nothing was answered: {said}")
    bad, lost = re.search(r"Non-2xx or 3xx responses: (\d+)", said), re.search(r"timeout (\d+)", said)
    return {
        "per_s": float(rate[1]),
        "requests": float(count[1]),
        "p99_ms": float(late[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[late[2]],
        "failed": float(bad[1] if bad else 0) + float(lost[1] if lost else 0),
    }


async def fill(database_url: str, posts: int) -> None:
    """Makes posts up to so many, in chunks that no statement limit stops."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET statement_timeout = 0")
        for first in range(1, posts + 1, 100_000):
            await connection.execute(_POSTS, first, min(first + 99_999, posts))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def empty(database_url: str) -> None:
    """Takes out the posts that no primary has."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute("DELETE FROM posts WHERE row_hash = 'x'")
    finally:
        await connection.close()


async def talk(base: str) -> str:
    """Writes what a chat page shows. Returns the token of whoever wrote it."""
    async with aiohttp.ClientSession(base, raise_for_status=True) as http:
        async with http.post("/api/auth/guest", json={}) as answer:
            token = str((await answer.json())["token"])
        for number in range(MESSAGES):
            message = {"content": f"hello number {number}"}
            async with http.post(CHAT.partition("?")[0], json=message, headers={"Authorization": f"Bearer {token}"}):
                pass
    return token


async def rest(lab: Lab) -> Outcome:
    """Lists, spaces, chat and joins over REST; the list again among a million posts."""
    ensure([WRK])
    lab.server_alone(False)
    ours, database = lab.system.gateway_url, lab.system.database_url
    async with AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="presence-wrk-")))
        await closing.enter_async_context(lab.system.without("sync_worker"))  # which would close what no primary has
        closing.push_async_callback(empty, database)
        await fill(database, SMALL)
        target = await closing.enter_async_context(peer(EXPRESS, ALL, more=(database,)))
        asked = Rest(lab, folder, ours, f"http://127.0.0.1:{target.ports[0]}", await talk(ours))
        await asked.measure((HEALTH, *ROWS))
        figures = asked.figures()
        if lab.plan.stretch:
            await fill(database, LARGE)
            again = tuple(row for row in ROWS if row.path == LIST and row.connections == FEW)
            await asked.measure(again, f", {LARGE:,} posts")
            figures += [figure for row in again for figure in _among_many(asked.outcome, row)]
        asked.outcome.figures = figures
    return asked.outcome


def _among_many(outcome: Outcome, row: Row) -> list[Figure]:
    small, large = outcome.medians.get(row.key), outcome.medians.get(f"{row.key}, {LARGE:,} posts")
    if not small or not large:
        return []
    few, many = small["per_s"], large["per_s"]
    title = f"{row.key}: among {LARGE:,} posts"
    return [Figure(title, many, "requests/s", f"≥ 0.8 x among {SMALL:,}", many / few >= 0.8, f"among {SMALL:,}", few)]
