"""Tokens reach the client as they are made.

A proxy that buffers turns a stream into a wait: the user watches nothing for as long as the whole
answer takes, and every latency that counts from the first token is told wrongly. Nothing is lost
and every answer is right, so that nothing else finds it.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from fixtures.known_streams import KnownStream, StartStreams, lateness_past_gateway
from fixtures.own_backends import StartBackends, scripted_engine
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.request_times import how_streamed
from hotfire.measure.streamed import OBSERVED_RATIO, Streamed
from hotfire.traffic.runner.launch import RunningLoad

pytestmark = requirement(
    "API-009",
    Level.MUST,
    __doc__,
    source="https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes",
)

WITHIN_SECONDS = 0.25
LATE_RATIO = 1 - OBSERVED_RATIO
STREAMS, TOKENS = 20, 24
PACE_SECONDS = 0.1
"""Slower than any reader, so that a buffer of a few chunks shows too."""
ENGINE_TOKENS = 64
"""Of the engines' own streams: a buffer of 4 KB is filled several times."""
# Two backends of our own: one writes each token when it is made, one all of them at the end.
PACED, HELD = "paced", "held"
CONTROL_STREAMS = 3


@pytest.fixture
def backends(own_backends: StartBackends, profile: TargetProfile) -> None:
    model, pace = profile.engine.model, {"ttft_seconds": 0.1, "tpot_seconds": PACE_SECONDS}
    held = scripted_engine(HELD, model, misbehaviour="held_back", **pace)
    own_backends({PACED: scripted_engine(PACED, model, **pace), HELD: held})


def late_ratio(lateness: list[float]) -> float:
    """Return the share of chunks that came later than they may.

    A hiccup of a busy machine holds a few back, a buffer all but the last of each release.
    """
    return sum(seconds > WITHIN_SECONDS for seconds in lateness) / max(1, len(lateness))


def kinds(streams: list[KnownStream]) -> Counter[str]:
    return Counter(str(how_streamed(stream.row)) for stream in streams)


def test_gateway_passes_each_token_on(
    known_streams: StartStreams,
    backends: None,
    scratch: Scratch,
    profile: TargetProfile,
    evidence: Evidence,
) -> None:
    control = known_streams("API-009-held", backend=HELD, count=CONTROL_STREAMS, max_tokens=TOKENS)
    running = known_streams("API-009", backend=PACED, count=STREAMS, max_tokens=TOKENS)
    past = lateness_past_gateway(
        scratch, profile.engine.model, reader=HELD, backend=PACED, max_tokens=TOKENS
    )
    streams = running.finished()
    lateness = [seconds for stream in streams for seconds in stream.lateness_seconds]
    late, lost = late_ratio(lateness), [one.row for one in streams if one.row.failed]
    evidence.record("chunks", len(lateness))
    evidence.record("late_ratio", round(late, 4))
    evidence.record("latest_seconds", round(max(lateness, default=0.0), 4))
    evidence.record("latest_past_gateway_seconds", round(max(past, default=0.0), 4))
    evidence.record("came", kinds(streams))

    assert not lost, f"{len(lost)} of {len(streams)} streams failed: {lost[0].error_class}"
    # Negative control: the same stream past the gateway comes in time, or it is another's doing.
    if len(lateness) < STREAMS * TOKENS / 2 or late_ratio(past) > LATE_RATIO or not past:
        raise HarnessError(
            f"{len(lateness)} chunks of {STREAMS} streams are known; past the gateway"
            f" {late_ratio(past):.0%} of {len(past)} came late too"
        )
    if late > LATE_RATIO:
        running.check()
    assert late <= LATE_RATIO, (
        f"{late:.0%} of the chunks came more than {WITHIN_SECONDS} s after they were written;"
        f" buffering: {kinds(streams)}"
    )
    # And an engine that holds its tokens back must look like a gateway that does.
    held = control.finished()
    evidence.record("control_came", kinds(held))
    if set(kinds(held)) != {Streamed.NO}:
        raise HarnessError(f"tokens written all at the end came as {kinds(held)}")


def test_engines_answers_come_in_no_bursts(
    load: Callable[..., RunningLoad], evidence: Evidence
) -> None:
    plan = {"process": "constant", "rate_per_second": 10.0, "duration_seconds": STREAMS / 10}
    running = load(name="API-009-engines", max_tokens=ENGINE_TOKENS, **plan)
    running.wait_finished(running.plan.duration_seconds + running.plan.deadline_seconds + 30)
    rows = running.rows()
    came = Counter(str(how_streamed(row)) for row in rows)
    evidence.record("came", came)
    told, streamed = len(rows) - came[str(None)], came[Streamed.YES]
    if not told:
        raise HarnessError(f"no stream of {len(rows)} tells how its tokens came")

    # An engine that had to wait for its processor writes what is due at once, now and then; a
    # buffer does so to every stream.
    assert streamed > told / 2, f"the engines' tokens came in bursts or at once: {came}"
