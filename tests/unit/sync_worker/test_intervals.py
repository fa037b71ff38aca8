"""How often each table is brought up to date, and when it is behind."""

import pytest

from services.sync_worker.replication.intervals import Intervals


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        ("posts", 60.0),
        ("collaboration_documents", 10.0),
        ("collaboration_permissions", 10.0),
        ("presence_permissions", 10.0),
    ],
)
def test_a_table_is_behind_after_three_of_its_own_intervals(table: str, interval: float) -> None:
    intervals = Intervals(access=10.0, others=60.0)
    assert intervals.of(table) == interval
    assert intervals.stale_after(table) == 3 * interval
