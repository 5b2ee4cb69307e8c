"""A flood of embedding work does not starve generation.

Whoever fills a vector store sends everything at once, in the night or when a model of embeddings is
replaced, and is in no hurry. On a device that it shares with generation, without a partition of its
own, each of its long batches stops every stream in the middle of a word. So that work is refused or
queued beyond what is carried, and people who read along notice nothing.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import pytest

from fixtures.beside import OVERLOADED_SHARE, Overload
from fixtures.embeddings import Embedder, Flood
from fixtures.traffic import wait_for_more
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.measure.later import PERCENTILE, Later, later_than, share_alone
from hotfire.measure.percentiles import SAMPLE_FLOORS, percentile
from hotfire.measure.request_times import tpot_seconds
from hotfire.traffic.runner.launch import LoadReport, RunningLoad

pytestmark = requirement(
    "RAG-005",
    Level.SHOULD,
    __doc__,
    source="https://sre.google/sre-book/handling-overload/",
    features={"rag", "rag-embeddings"},
)

TIMES_THE_CAPACITY = 5
MOST_FACTOR = 1.25
# The flood is felt by itself: its own work takes so much longer, or is refused.
FELT_FACTOR = 1.5
# More than are needed: some are under way as the flood begins, and of some no pace is told.
FEWEST = math.ceil(1.3 * SAMPLE_FLOORS[PERCENTILE])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A flood amid the rated load, and what became of both."""

    alone: list[Request]
    among: list[Request]
    flood: Flood
    alone_seconds: float
    """How long an embedding takes while nobody else asks for one: the middle one."""
    report: LoadReport
    overload: float | None


@pytest.fixture
def seen(
    embedder: Embedder,
    load: Callable[..., RunningLoad],
    profile: TargetProfile,
    evidence: Evidence,
) -> Seen:
    """The rated load alone, and beside five times as much embedding work as is carried."""
    alone_seconds, per_second = median(embedder.alone()), TIMES_THE_CAPACITY * embedder.capacity()
    running = load(name="RAG-005")
    wait_for_more(running, FEWEST)
    overload, before = Overload(), {row.seq for row in running.rows()}
    seconds = FEWEST / profile.load.rate_per_second
    flood = embedder.flood(per_second, math.ceil(per_second * seconds))
    over = {row.seq for row in running.rows()}
    report, rows = running.stop(), running.rows()
    evidence.record("embeddings_per_second", {"sent": flood.per_second, "wanted": per_second})
    evidence.record("embeddings", Counter(str(one.status or one.why) for one in flood.replies))
    return Seen(
        alone=[row for row in rows if row.seq in before],
        among=[row for row in rows if row.seq in over - before],
        flood=flood,
        alone_seconds=alone_seconds,
        report=report,
        overload=overload.share(),
    )


def paces(rows: Sequence[Request]) -> list[float]:
    """Return the time per token of each answer that tells it."""
    found = (tpot_seconds(row) for row in rows if row.complete)
    return [seconds for seconds in found if seconds is not None]


def judge(seen: Seen, floor_seconds: float) -> Later:
    """Return how many answers came slower than they did alone, by a quarter and what is noise.

    Raises:
        HarnessError: too few answers tell their pace.
    """
    alone, among = paces(seen.alone), paces(seen.among)
    needed = SAMPLE_FLOORS[PERCENTILE]
    failed = sum(not row.complete for row in seen.among)
    if min(len(alone), len(among) + failed) < needed:
        raise HarnessError(
            f"{len(alone)} answers without a flood and {len(among)} in it tell their pace; it takes"
            f" {needed} each: load.max_tokens of several, and tokens that come as they are made"
        )
    p95 = percentile(alone, PERCENTILE)
    limit = max(MOST_FACTOR * p95, p95 + floor_seconds)
    return later_than(limit, among, judged=len(among) + failed, share=share_alone(alone))


def test_a_flood_is_refused_or_queued_and_streams_keep_their_pace(
    seen: Seen, profile: TargetProfile, evidence: Evidence
) -> None:
    flood, slower = seen.flood, judge(seen, profile.measurement.band_floor_tpot_seconds)
    middle = median(one.seconds for one in flood.embedded) if flood.embedded else math.inf
    evidence.record("embedding_seconds", {"alone": seen.alone_seconds, "in_the_flood": middle})
    evidence.record("streams", asdict(slower))
    evidence.record("share_of_time_that_waited_for_a_cpu", seen.overload)

    assert not flood.lost, (
        f"{len(flood.lost)} of {len(flood.replies)} embeddings were neither made nor refused:"
        f" {flood.lost[0].why}"
    )
    seen.report.check()
    if slower.beyond and (seen.overload or 0.0) >= OVERLOADED_SHARE:
        raise HarnessError("streams became slower, on a machine that was overloaded")
    assert not slower.beyond, (
        f"{slower.later} of {slower.judged} answers took longer than {slower.limit_seconds:g} s for"
        f" a token beside a flood of embeddings, as {100 - PERCENTILE} % do without one; by chance"
        f" at most {slower.allowed} do"
    )
    # Negative control: the flood was one.
    if not flood.refused and middle < FELT_FACTOR * seen.alone_seconds:
        raise HarnessError(
            f"{flood.per_second:.1f} embeddings a second were made as fast as one alone: that was"
            " no flood"
        )
