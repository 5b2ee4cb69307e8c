"""What the baseline was like, and tests of whether a stretch of requests is served worse. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import numpy as np

from hotfire.measure.bands import BATCH_REQUESTS, GOODPUT_FACTOR, Bands
from hotfire.measure.columns import Columns
from hotfire.measure.comparison.shift import Figure, Shift, Stretch
from hotfire.measure.history import Request
from hotfire.measure.latency import Seconds
from hotfire.measure.variation import Values, Variation, least_failures, power_of_failures
from hotfire.profile import Budgets, Measurement

_SECOND_NS: Final = 1_000_000_000
_FEWEST_IN_A_BATCH: Final = 5
SLOW_WINDOW_SHARE: Final = 0.2
"""Share of requests not served well from which a window belongs to the fault."""
_TELLING_WINDOW_SHARE: Final = 0.5
"""Where chance alone spoils half a window, nobody can say when users were served again."""
# How the chance of a false alarm is shared out: failures over the hold, failures in each of its
# windows together, and one share for each of three figures over the hold and in the first window.
_HOLD_FAILURES, _WINDOW_FAILURES, _FIGURE = 0.3, 0.1, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the baseline was like, and how much each figure varies by itself."""

    bands: Bands
    measurement: Measurement
    failure_ratio: float
    rate_per_second: float
    variations: dict[Figure, Variation | None]
    false_alarm: float
    """Over a whole hold."""

    @classmethod
    def of(
        cls,
        baseline: Sequence[Request],
        budgets: Budgets,
        measurement: Measurement,
        *,
        quiet: Sequence[Sequence[Request]] = (),
        false_alarm: float | None = None,
    ) -> Self:
        """Return the state before a fault.

        ``quiet`` are other stretches of the same load in which nothing was broken: they tell more
        about the noise. Warm-up rows are left out everywhere.
        """
        rows = _known(baseline)
        columns = Columns.of(rows)
        bands = Bands.from_baseline(rows, budgets, measurement)
        span = (rows[-1].sched_ns - rows[0].sched_ns) / _SECOND_NS if len(rows) > 1 else 0.0
        rate = len(rows) / span if span else 0.0
        self = cls(
            bands=bands,
            measurement=measurement,
            failure_ratio=1 - columns.success_ratio(),
            rate_per_second=rate,
            variations={},
            false_alarm=false_alarm or measurement.false_alarm_probability,
        )
        others = [Columns.of(_known(one)) for one in quiet]
        for figure in (Figure.SLOW, Figure.TTFT, Figure.TPOT):
            batches = [self._batches(figure, Stretch.whole(one)) for one in (columns, *others)]
            average = _without_worst if figure is Figure.SLOW else np.mean
            self.variations[figure] = Variation.of(batches[0], batches[1:], average=average)
        return self

    # Comparing

    def in_window(self, window: Stretch) -> tuple[Shift, ...]:
        """Return how one window compares, failures first."""
        failures = self.failures_in_window(window.rows)
        return (failures, *self._shifts(window, slow_floor=SLOW_WINDOW_SHARE))

    def failures_in_window(self, rows: Columns) -> Shift:
        """Return how the failures in one of the hold's windows compare."""
        together = max(1.0, self.measurement.hold_seconds / self.measurement.window_seconds)
        return self._failures(rows, _WINDOW_FAILURES / together)

    def over_hold(self, hold: Stretch) -> tuple[Shift, ...]:
        """Return how a whole hold compares, failures first."""
        floor = (1 - GOODPUT_FACTOR) * self.bands.baseline_goodput_ratio
        failures = self._failures(hold.rows, _HOLD_FAILURES)
        return (failures, *self._shifts(hold, slow_floor=floor))

    def slow_limit(self, seconds: float) -> float:
        """Return the share (0-1) of requests not served well beyond which a stretch is bad."""
        variation = self.variations[Figure.SLOW]
        if variation is None:
            return SLOW_WINDOW_SHARE
        batches = seconds / self._batch_seconds
        chance = variation.chance(batches, false_alarm=_FIGURE * self.false_alarm)
        return variation.mean + max(SLOW_WINDOW_SHARE, chance)

    def noise(self) -> list[str]:
        """Return why "as before" could not be told from an effect worth finding; empty: it can."""
        return [*self._noisy_latencies(), *self._noisy_shares(), *self._few_requests()]

    # Parts

    @property
    def _batch_seconds(self) -> float:
        enough = BATCH_REQUESTS / self.rate_per_second if self.rate_per_second else 0.0
        return max(self.measurement.batch_seconds, enough)

    def _batches(self, figure: Figure, stretch: Stretch) -> Values:
        """Return the figure of each whole batch: a share, or the logarithm of a median latency."""
        rows, length = stretch.rows, round(self._batch_seconds * _SECOND_NS)
        count = max(1, (stretch.end_ns - stretch.start_ns) // length)
        edges = [rows.place(stretch.start_ns + number * length) for number in range(count + 1)]
        parts = (rows.part(first, last) for first, last in pairwise(edges))
        return np.fromiter((self._figure(figure, part) for part in parts), np.float64, count)

    def _figure(self, figure: Figure, rows: Columns) -> float:
        if len(rows) < _FEWEST_IN_A_BATCH:
            return math.nan
        if figure is Figure.SLOW:
            return 1 - int(self.bands.good(rows).sum()) / len(rows)
        return _log_median(rows.ttft if figure is Figure.TTFT else rows.tpot)

    def _shifts(self, stretch: Stretch, *, slow_floor: float) -> Iterator[Shift]:
        for figure, variation in self.variations.items():
            batches = self._batches(figure, stretch)
            batches = batches[~np.isnan(batches)]
            if variation is None:
                continue
            if not len(batches):
                yield from _untold(figure, variation, stretch.rows)
                continue
            chance = variation.chance(len(batches), false_alarm=_FIGURE * self.false_alarm)
            before, after = variation.mean, float(batches.mean())
            if figure is Figure.SLOW:
                after = _without_worst(batches)
                limit = before + max(slow_floor, chance)
                yield Shift(
                    figure=figure, before=before, after=after, chance=before + chance, limit=limit
                )
                continue
            factor = max(self._factor(figure, math.exp(before)), math.exp(chance))
            yield Shift(
                figure=figure,
                before=math.exp(before),
                after=math.exp(after),
                chance=math.exp(before + chance),
                limit=math.exp(before) * factor,
            )

    def _factor(self, figure: Figure, before: float) -> float:
        """Return how many times the latency before still counts as before."""
        own = self.measurement
        floor = own.band_floor_seconds if figure is Figure.TTFT else own.band_floor_tpot_seconds
        return max(own.band_factor, 1 + floor / before) if before else math.inf

    def _failures(self, rows: Columns, share: float) -> Shift:
        least = self._least_failures(len(rows), share)
        chance = (least - 1) / len(rows) if len(rows) else 1.0
        return Shift(
            figure=Figure.FAILURES,
            before=self.failure_ratio,
            after=1 - rows.success_ratio(),
            chance=chance,
            limit=max(chance, 1 - self.bands.success_ratio),
        )

    def _least_failures(self, requests: int, share: float) -> int:
        sound = max(self._sound_ratio, self.failure_ratio)
        return least_failures(requests, sound_ratio=sound, false_alarm=share * self.false_alarm)

    @property
    def _sound_ratio(self) -> float:
        """A promise of no failure at all is kept by none."""
        return min(self.measurement.sound_error_ratio, 1 - self.bands.success_ratio)

    def _noisy_latencies(self) -> Iterator[str]:
        hold = max(1.0, self.measurement.hold_seconds // self._batch_seconds)
        for figure in (Figure.TTFT, Figure.TPOT):
            variation = self.variations[figure]
            if variation is None:
                if figure is Figure.TTFT:
                    yield f"the baseline has less than three batches of {self._batch_seconds:g} s"
                continue
            found = math.exp(
                variation.detectable(
                    hold, false_alarm=_FIGURE * self.false_alarm, power=self.measurement.power
                )
            )
            worth = max(
                self.measurement.effect_factor, self._factor(figure, math.exp(variation.mean))
            )
            if found > worth:
                yield (
                    f"{figure} varies so much by itself that only a rise to {found:.2f} times could"
                    f" be told from chance, {worth:.2f} times is worth finding: measure longer"
                    " (baseline_seconds, hold_seconds) or on a quieter machine"
                )

    def _noisy_shares(self) -> Iterator[str]:
        share = self.slow_limit(self.measurement.window_seconds)
        if share > _TELLING_WINDOW_SHARE:
            yield (
                f"by chance alone {share:.0%} of the requests of a window are not served well, so"
                " nobody can tell when users were served again:"
                " measure longer (baseline_seconds, window_seconds) or on a quieter machine"
            )

    def _few_requests(self) -> Iterator[str]:
        own = self.measurement
        requests = int(own.hold_seconds * self.rate_per_second)
        least = self._least_failures(requests, _HOLD_FAILURES)
        worth = own.effect_error_ratio
        if power_of_failures(requests, least, ratio=worth) < own.power:
            yield (
                f"{requests} requests in {own.hold_seconds:g} s show {worth:.0%} failures with less"
                f" than {own.power:.0%} certainty: raise load.rate_per_second or hold_seconds"
            )


def _untold(figure: Figure, variation: Variation, rows: Columns) -> Iterator[Shift]:
    """Yield the shift of a latency that the baseline told and answers now do not.

    Nothing where there are no answers either: that they failed is told by other figures.
    """
    if figure is not Figure.SLOW and int(rows.complete.sum()) >= _FEWEST_IN_A_BATCH:
        before = math.exp(variation.mean)
        yield Shift(figure=figure, before=before, after=math.inf, chance=before, limit=before)


def _without_worst(shares: Values) -> float:
    """Return the mean of the batches' shares without the worst fifth: hiccups are no state."""
    return float(np.sort(shares)[: len(shares) - len(shares) // 5].mean())


def _known(rows: Sequence[Request]) -> list[Request]:
    return [row for row in rows if row.sent and not row.censored and row.phase != "warmup"]


def _log_median(values: Seconds) -> float:
    known = values[np.isfinite(values) & (values > 0)]
    return math.log(float(np.median(known))) if len(known) >= _FEWEST_IN_A_BATCH else math.nan
