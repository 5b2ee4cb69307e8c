"""One moment on both clocks, also where the process is put aside between the two readings."""

import pytest

from hotfire.traffic.wire import clock
from hotfire.traffic.wire.clock import Anchor

EPOCH_LESS_MONOTONIC_NS = 1_700_000_000_000_000_000
MS = 1_000_000


class Preempted:
    """Time that passes by the reading; one of the readings comes back late."""

    def __init__(self, late_reading: int) -> None:
        self._now_ns, self._readings, self._late = 5 * MS, 0, late_reading

    def monotonic_ns(self) -> int:
        read_ns = self._now_ns
        self._readings += 1
        self._now_ns += 8 * MS if self._readings == self._late else 1_000
        return read_ns

    def time_ns(self) -> int:
        return EPOCH_LESS_MONOTONIC_NS + self.monotonic_ns()


@pytest.mark.parametrize("late_reading", [0, 1, 2, 3, 4])
def test_an_anchor_is_one_moment_whenever_its_process_was_put_aside(
    late_reading: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "time", Preempted(late_reading))

    anchor = Anchor.now()

    apart_ns = anchor.epoch_ns - anchor.monotonic_ns - EPOCH_LESS_MONOTONIC_NS
    assert abs(apart_ns) < MS / 10
