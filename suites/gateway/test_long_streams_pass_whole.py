"""Long streams pass whole and unbuffered.

An answer of a reasoning model takes minutes. A gateway whose time for a request is made for pages
cuts it in the middle, after the user was charged for it; Envoy's own is 15 s. The stream here is
longer than that and no longer, since a check is to be quick: a limit above 17 s is not seen.
"""

from collections.abc import Mapping

import pytest

from fixtures.known_streams import KnownStreams, StartStreams, lateness_past_gateway
from fixtures.own_backends import StartBackends, scripted_engine
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Document
from hotfire.errors import HarnessError

pytestmark = requirement(
    "GTW-011",
    Level.MUST,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/reference/spec/#httproutetimeouts",
)

STREAM_SECONDS = 17.0
TOKENS = 60
STREAMS = 3
WITHIN_SECONDS = 1.0
# The same engine twice, the second behind a rule that gives a request five seconds.
PATIENT, HURRIED = "patient", "hurried"
HURRY: Mapping[str, Document] = {HURRIED: {"timeouts": {"request": "5s"}}}


@pytest.fixture
def backends(own_backends: StartBackends, profile: TargetProfile) -> None:
    model, pace = profile.engine.model, {"tpot_seconds": STREAM_SECONDS / TOKENS}
    programs = {name: scripted_engine(name, model, **pace) for name in (PATIENT, HURRIED)}
    own_backends(programs, rules=HURRY)


def test_long_stream_is_neither_cut_nor_held_back(
    known_streams: StartStreams,
    backends: None,
    scratch: Scratch,
    profile: TargetProfile,
    evidence: Evidence,
) -> None:
    plan = {"max_tokens": TOKENS, "deadline_seconds": 2 * STREAM_SECONDS}
    control = known_streams("GTW-011-hurried", backend=HURRIED, count=1, **plan)
    running = known_streams("GTW-011", backend=PATIENT, count=STREAMS, **plan)
    past = lateness_past_gateway(
        scratch, profile.engine.model, reader=HURRIED, backend=PATIENT, max_tokens=TOKENS
    )
    streams = running.finished()
    lateness = [seconds for stream in streams for seconds in stream.lateness_seconds]
    latest = max(lateness, default=0.0)
    cut = [stream.row for stream in streams if stream.row.failed]
    evidence.record("stream_seconds", STREAM_SECONDS)
    evidence.record("chunks", len(lateness))
    evidence.record("latest_chunk_seconds", round(latest, 3))
    evidence.record("latest_past_gateway_seconds", round(max(past, default=0.0), 3))
    evidence.record("cut", [f"{row.error_class}: {row.detail}" for row in cut])

    assert not cut, f"{len(cut)} of {len(streams)} streams of {STREAM_SECONDS:g} s failed: {cut[0]}"
    if latest > WITHIN_SECONDS:
        check_doubt(running, past)
    assert latest <= WITHIN_SECONDS, f"a chunk came {latest:.1f} s after it was written"
    # Negative control: a limit of five seconds must show on the same stream.
    hurried = [stream.row for stream in control.finished()]
    evidence.record("control", [str(row.error_class) for row in hurried])
    if not any(row.failed for row in hurried):
        raise HarnessError(
            f"a rule's timeouts.request of 5 s did not cut a stream of {STREAM_SECONDS:g} s"
        )


def check_doubt(running: KnownStreams, past: list[float]) -> None:
    """Accept that it was the gateway that held a chunk back.

    Raises:
        InstrumentError: the client was late.
        HarnessError: a stream past the gateway was late too.
    """
    running.check()
    if not past or max(past) > WITHIN_SECONDS:
        raise HarnessError(f"past the gateway chunks came up to {max(past, default=0):.1f} s late")
