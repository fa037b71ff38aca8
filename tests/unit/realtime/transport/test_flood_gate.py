"""The flood gate: everything is counted, the hasty wait, floods end."""

from services.realtime.transport.flood_gate import (
    MOST_BYTES,
    MOST_PACKETS,
    MOST_SECONDS,
    PACKETS_A_TURN,
    FloodGate,
)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    @property
    def waits(self) -> int:
        """How often it slept for longer than a turn of the loop."""
        return sum(nap > 0 for nap in self.naps)


def gate(time: Time, factor: float = 1.0) -> FloodGate:
    return FloodGate(factor, time.clock, time.sleep)


async def test_packets_within_the_budget_never_wait() -> None:
    time = Time()
    entry = gate(time)
    for _ in range(3):
        assert all([await entry.let_in(100) for _ in range(MOST_PACKETS)])
        time.now += 1
    assert time.waits == 0


async def test_a_packet_over_the_budget_waits_for_the_next_second_and_is_let_in() -> None:
    time = Time()
    entry = gate(time)
    for _ in range(MOST_PACKETS):
        await entry.let_in(1)
    assert await entry.let_in(1)
    assert (time.waits, int(time.now)) == (1, 1001)


async def test_a_connection_is_warned_each_time_it_waits() -> None:
    time = Time()
    warnings: list[float] = []
    entry = FloodGate(1.0, time.clock, time.sleep, lambda: warnings.append(time.now))
    for _ in range(2 * (MOST_PACKETS + 1)):
        await entry.let_in(1)
    assert len(warnings) == time.waits == 2


async def test_bytes_count_as_packets_do() -> None:
    time = Time()
    entry = gate(time)
    assert await entry.let_in(MOST_BYTES)
    assert time.waits == 0
    assert await entry.let_in(1)
    assert time.waits == 1


async def test_a_connection_that_keeps_exceeding_is_ended() -> None:
    time = Time()
    entry = gate(time)
    sent = 0
    while await entry.let_in(1):
        sent += 1
        assert sent < MOST_SECONDS * (MOST_PACKETS + 1)
    assert time.waits == MOST_SECONDS - 1


async def test_exceeding_now_and_then_is_forgiven() -> None:
    time = Time()
    entry = gate(time)
    for _ in range(2 * MOST_SECONDS):
        assert all([await entry.let_in(1) for _ in range(MOST_PACKETS + 1)])
        time.now += 2
    assert time.waits == 2 * MOST_SECONDS


async def test_a_burst_gives_the_loop_to_others() -> None:
    time = Time()
    entry = gate(time)
    for _ in range(MOST_PACKETS):
        await entry.let_in(1)
    assert time.naps.count(0) == MOST_PACKETS // PACKETS_A_TURN


async def test_a_factor_of_zero_lets_everything_through() -> None:
    time = Time()
    entry = gate(time, factor=0)
    assert all([await entry.let_in(MOST_BYTES) for _ in range(10 * MOST_PACKETS)])
    assert time.waits == 0


async def test_requests_that_are_here_at_once_count_a_second_once() -> None:
    time = Time()
    entry = gate(time)

    async def stay(seconds: float) -> None:
        time.naps.append(seconds)  # the others come before the second is over

    entry.sleep = stay
    assert all([await entry.let_in(1, MOST_PACKETS) for _ in range(2 * MOST_SECONDS)])


async def test_a_body_counts_as_the_packets_in_it() -> None:
    time = Time()
    entry = gate(time)
    assert await entry.let_in(1024, 1024)
    assert time.waits == 1
