"""Liveness restarts a hung engine.

An engine that waits for ever, for a collective that never ends or a lock that nobody gives back,
has not crashed: its container runs and its pod is there. Only a probe that notices brings it back;
one that looks at a part that lives on does not.
"""

import time

from fixtures.liveness import Engines
from fixtures.within_engines import ANSWERED
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "LIF-003",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
)


def test_engine_that_stands_still_is_restarted(engines: Engines, evidence: Evidence) -> None:
    *others, victim = engines.within.serving()
    promised = engines.promised(victim)
    assert promised, f"{victim.name} has no liveness probe: hung, it would stay so"
    before = engines.within.answer(victim)
    if before != ANSWERED:
        raise HarnessError(f"{victim.name} does not answer before it is stopped either: {before}")

    hung, seconds = hang(engines, victim, promised.limit_seconds)
    restarts = {pod.name: engines.restarts(pod) - pod.restarts for pod in others}
    evidence.record("hung", {"pod": victim.name, "says": hung})
    evidence.record("restarted_after_seconds", seconds)
    evidence.record("promised_seconds", promised.promised_seconds)
    evidence.record("limit_seconds", promised.limit_seconds)
    evidence.record("restarts_of_others", restarts)

    if hung == ANSWERED:
        raise HarnessError(f"{victim.name} answers while its processes stand still")
    assert seconds is not None, (
        f"{victim.name} stood still for {promised.limit_seconds:g} s and was not restarted: its"
        " liveness probe looks at something that lives on"
    )
    # Negative control: it was the probe, and not somebody who restarts them all.
    if any(restarts.values()):
        raise HarnessError(f"engines that nobody stopped were restarted as well: {restarts}")


def hang(engines: Engines, victim: Pod, limit_seconds: float) -> tuple[str, float | None]:
    """Stop an engine that users go on asking; return its answer, and when it was restarted.

    None: it was not. An engine that hangs while nobody wants anything of it harms nobody, and may
    be found by the first who does.
    """
    began = time.monotonic()
    with engines.standing(victim):
        answer = engines.within.answer(victim, within_seconds=3)
        with engines.asked(victim):
            restarted = of_target(
                lambda: engines.restarts(victim) > victim.restarts,
                within_seconds=limit_seconds,
                what=f"{victim.name} restarted",
                excused_seconds=engines.cluster.silent_seconds,
            )
    return answer, round(time.monotonic() - began, 1) if restarted else None
