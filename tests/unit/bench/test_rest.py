"""What is read from wrk's words."""

import pytest

from bench.generator import LoadError
from bench.rest import read

SAID = """Running 5s test @ http://127.0.0.1:8080/api/spaces?limit=20
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.11ms    1.02ms  20.10ms   91.20%
    Req/Sec     5.17k   310.22     5.60k    80.00%
  Latency Distribution
     50%    2.95ms
     75%    3.30ms
     90%    3.80ms
     99%    {late}
  25732 requests in 5.00s, 210.11MB read
{more}Requests/sec:   5146.02
Transfer/sec:     42.01MB
"""


@pytest.mark.parametrize(("late", "milliseconds"), [("870.00us", 0.87), ("7.50ms", 7.5), ("1.20s", 1200)])
def test_a_latency_is_milliseconds_in_whatever_unit_it_was_said(late: str, milliseconds: float) -> None:
    assert read(SAID.format(late=late, more="")) == {
        "per_s": 5146.02,
        "requests": 25732,
        "p99_ms": pytest.approx(milliseconds),
        "failed": 0,
    }


def test_refusals_and_what_was_never_answered_failed() -> None:
    more = "  Socket errors: connect 0, read 0, write 0, timeout 3\n  Non-2xx or 3xx responses: 40\n"
    assert read(SAID.format(late="7.50ms", more=more))["failed"] == 43


def test_where_nothing_was_answered_there_is_no_figure() -> None:
    with pytest.raises(LoadError):
        read("  0 requests in 1.08s, 0.00B read\nRequests/sec:      0.00\n")
