"""Overload is refused with 429 or 503 and Retry-After, and nothing accepted is lost.

Beyond what a platform carries every request costs somebody his answer. A queue without bound makes
all users wait until they have gone; a request that is dropped without a word makes one wait for
ever. Refused at once, a client knows what to do, and when.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hotfire import Endpoint, Evidence, Level, Reply, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import until

pytestmark = requirement(
    "API-004",
    Level.MUST,
    __doc__,
    source="https://www.rfc-editor.org/rfc/rfc6585.html#section-4",
    features={"overload-refusal"},
)

REFUSALS = (FailureClass.HTTP_429, FailureClass.HTTP_503)
REFUSED_WITHIN_SECONDS = 1.0
# Every request of a burst has come before the first is answered.
BURST_SECONDS, ANSWER_SECONDS = 1.0, 2.5
SAMPLE_TOKENS, FEWEST, MOST = 32, 64, 1500
# Who asks amid the burst, to read what a refusal says.
ASKERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What became of requests that came at once."""

    planned: int
    rows: Sequence[Request]

    @property
    def refused(self) -> list[Request]:
        return [row for row in self.rows if row.error_class in REFUSALS]

    @property
    def lost(self) -> list[Request]:
        """Those that were neither answered nor refused."""
        return [row for row in self.rows if row.failed and row.error_class not in REFUSALS]

    @property
    def slowest_refusal_seconds(self) -> float:
        took = ((row.end_ns or 0) - (row.send_ns or 0) for row in self.refused)
        return max(took, default=0) / 1e9

    def summary(self) -> dict[str, float]:
        return {
            "planned": self.planned,
            "answered": sum(not row.failed for row in self.rows),
            "refused": len(self.refused),
            "lost": len(self.lost),
            "slowest_refusal_seconds": self.slowest_refusal_seconds,
        }


@dataclass(frozen=True, slots=True)
class Bursts:
    """Sends bursts of answers of the same length."""

    profile: TargetProfile
    endpoint: Endpoint
    load: Callable[..., RunningLoad]
    tokens: int

    def send(self, name: str, requests: int, *, ask: bool = False) -> tuple[Burst, list[Reply]]:
        """Send so many within a second; ``ask`` a few more when all of them are there."""
        running = self.load(
            name=f"API-004-{name}",
            process="constant",
            rate_per_second=requests / BURST_SECONDS,
            duration_seconds=BURST_SECONDS,
            max_tokens=self.tokens,
            stream=False,
        )
        replies = self._ask_amid(running) if ask else []
        deadline = self.profile.load.deadline_seconds
        report = running.wait_finished(within_seconds=BURST_SECONDS + 2 * deadline)
        report.check()
        return Burst(planned=report.planned, rows=running.rows()), replies

    def _ask_amid(self, running: RunningLoad) -> list[Reply]:
        """Ask once the first was refused, or answered, whatever comes first."""
        until(
            running.rows, within_seconds=self.profile.load.deadline_seconds, what="a first answer"
        )

        def one(_: int) -> Reply:
            return self.endpoint.chat("?", max_tokens=1, fresh=True)

        with ThreadPoolExecutor(ASKERS) as pool:
            return list(pool.map(one, range(ASKERS)))


def bursts_of(
    profile: TargetProfile, endpoint: Endpoint, load: Callable[..., RunningLoad]
) -> Bursts:
    """Return bursts of answers that take longer than all the requests to come."""
    reply = endpoint.chat("Tell.", max_tokens=SAMPLE_TOKENS, ignore_eos=True)
    if not reply.ok:
        raise HarnessError(f"an answer that was to be timed broke: {reply.why}")
    tokens = int(ANSWER_SECONDS * SAMPLE_TOKENS / reply.seconds)
    return Bursts(profile, endpoint, load, min(max(tokens, FEWEST), MOST))


def test_more_than_the_limit_is_answered_or_refused(
    profile: TargetProfile,
    endpoint: Endpoint,
    load: Callable[..., RunningLoad],
    evidence: Evidence,
) -> None:
    limit = profile.load.most_at_once
    if limit is None:
        raise HarnessError("no limit is declared; set load.most_at_once to what is accepted")
    bursts = bursts_of(profile, endpoint, load)
    over, asked = bursts.send("over", 2 * limit, ask=True)
    evidence.record("limit", limit)
    evidence.record("burst_over_the_limit", over.summary())
    refusals = [one for one in asked if one.status in (429, 503)]
    evidence.record("refusals", [[one.status, one.headers.get("retry-after")] for one in refusals])

    assert not over.lost, (
        f"{len(over.lost)} of {over.planned} requests were neither answered nor refused:"
        f" {over.lost[0].error_class}: {over.lost[0].detail}"
    )
    assert over.refused, f"{over.planned} requests at once, twice the limit, and none was refused"
    slowest = over.slowest_refusal_seconds
    assert slowest <= REFUSED_WITHIN_SECONDS, f"a refusal took {slowest:.1f} s"
    bare = [one for one in refusals if "retry-after" not in one.headers]
    assert not bare, f"a refusal with {bare[0].status} does not say when to come again"
    if not refusals:
        raise HarnessError(f"none of {ASKERS} requests amid the burst was refused, to be read")
    # Negative control: below the limit nobody is refused, so it was the limit that did it.
    under, _ = bursts.send("under", limit // 2)
    evidence.record("burst_below_the_limit", under.summary())
    refused = len(under.refused)
    assert not refused, f"{refused} of {under.planned} requests were refused, half the limit"
