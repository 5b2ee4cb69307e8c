"""Where the time from a fault to its recovery went, by what was observed on the way. Pure."""

import math
from collections.abc import Iterator
from itertools import takewhile

from hotfire.experiment.facts import Record
from hotfire.measure.recovery import Recovery

_NANO = 1e-9


def spent(record: Record, recovery: Recovery) -> dict[str, float]:
    """Return the seconds of each part, from injection to recovery; their sum is the recovery.

    A part is left out whose end was not observed, or came before the end of the one before it:
    its time then belongs to the next. Empty without a recovery, and where users noticed nothing.
    """
    took = recovery.recovered_from_injection_seconds
    start_ns = record.injected_ns
    if not took or start_ns is None:
        return {}
    end_ns = start_ns + round(took / _NANO)
    found, since_ns = {}, start_ns
    for name, at_ns in _moments(record, start_ns, end_ns):
        if since_ns < at_ns < end_ns:
            found[name] = (at_ns - since_ns) * _NANO
            since_ns = at_ns
    return found | {"settling": (end_ns - since_ns) * _NANO}


def _moments(record: Record, start_ns: int, end_ns: int) -> Iterator[tuple[str, int]]:
    """Yield the ends of the parts that were observed, in the order of the parts."""
    earlier, after = record.ready_endpoints()
    before = earlier[-1][1] if earlier else math.inf
    if earlier and (left := [at for at, count in after if count < before]):
        yield "detection", left[0]
    failed = [
        row.end_ns or row.sched_ns
        for row in record.requests
        if not row.complete and start_ns <= row.sched_ns < end_ns
    ]
    if failed:
        yield "routing", max(failed)
    started = [one.at_ns for one in record.happened("engine-started") if one.at_ns >= start_ns]
    if started:
        yield "restart", min(started)
    # From when on all endpoints stayed ready.
    if back := list(takewhile(lambda one: one[1] >= before, reversed(after))):
        yield "loading", back[-1][0]
