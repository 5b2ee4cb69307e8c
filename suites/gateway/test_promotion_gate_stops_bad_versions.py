"""Promotion goes on only while a version is as good as the stable one; else it is taken back.

Nobody compares two versions at night. A gate that lets a worse one pass makes every roll-out a risk
for all users, and one that takes missing figures for good ones does so just when the monitoring is
down. How often it errs is known only from many trials whose truth is known.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from fixtures.stack import Stack
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError

pytestmark = requirement(
    "GTW-006",
    Level.MUST,
    __doc__,
    source="https://sre.google/workbook/canarying-releases/",
    features={"promotion-gate"},
)

RUNS, LEAST_PROMOTED = 59, 56
"""None of 59 promoted: 95 % of such versions are stopped, at a confidence of 95 %."""
WITHIN_SECONDS = 60.0
LABELS, CONTAINER = {"app": "promotion-gate"}, "gate"
# Trials by the decision that the gate itself runs, in its own pod. Times vary by a sixth.
_TRIALS = """
import json, random, sys
from dataclasses import replace
from hotfire.engine import promotion_decision as gate

def seen(chance, times, errors=0.001, invalid=0.0, slower=1.0, other=0.02, part=1.0):
    asked = int(gate.ASKED * times * part)
    bound = asked * 2 // 3
    def spread(middle):
        return tuple(middle * chance.lognormvariate(0, 0.17) for _ in range(asked - bound))
    return gate.Seen(
        asked=asked, bound=bound, ended=asked, ttft_seconds=spread(0.03),
        known=50, other=sum(chance.random() < other for _ in range(50)),
        errors=sum(chance.random() < errors for _ in range(asked)),
        invalid=sum(chance.random() < invalid for _ in range(bound)),
        tpot_seconds=spread(0.005 * slower),
    )

def promoted(seed, bad):
    chance = random.Random(seed)
    stable = canary = gate.Seen(ended=0)
    for step in range(1, len(gate.STEPS) + 1):
        stable += seen(chance, gate.STABLE_TIMES)
        canary += seen(chance, 1, **bad)
        if gate.decide(stable, canary, step=step)[0] is not gate.Decision.ON:
            return False
    return True

def once(of="", lacking={}, part=1.0):
    chance = random.Random(0)
    both = {"stable": seen(chance, gate.STABLE_TIMES), "canary": seen(chance, 1, part=part)}
    if of:
        both[of] = replace(both[of], **lacking)
    return gate.decide(both["stable"], both["canary"], step=1)[0].value

runs, versions = int(sys.argv[1]), json.loads(sys.argv[2])
lacking = {"no metrics page": {"ended": None}, "no timed answer": {"tpot_seconds": ()}}
print(json.dumps({
    "promoted": {name: sum(promoted(seed, bad) for seed in range(runs))
                 for name, bad in versions.items()},
    "whole": once(), "half the sample": once(part=0.5),
    "lacking": {f"{why} of the {of} version": once(of, what)
                for of in ("stable", "canary") for why, what in lacking.items()},
}))
"""
SOUND = "identical"
VERSIONS: dict[str, dict[str, float]] = {
    SOUND: {},
    "TPOT +25 %": {"slower": 1.25},
    "3 % invalid JSON": {"invalid": 0.03},
    "5 % errors": {"errors": 0.05},
    "other weights": {"other": 0.9},
}
ON = "on"


@dataclass(frozen=True)
class Gate:
    """The gate of the reference stack, as it runs."""

    cluster: Cluster
    pod: Pod

    @cached_property
    def trials(self) -> dict[str, Any]:
        """What its decision came to in trials of known truth."""
        argv = ["python3", "-c", _TRIALS, str(RUNS), json.dumps(VERSIONS)]
        place = (self.pod.namespace, self.pod.name)
        done = self.cluster.exec(
            *place, container=CONTAINER, argv=argv, within_seconds=WITHIN_SECONDS, repeatable=True
        )
        try:
            told: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            said = done.stderr.strip()[-300:]
            raise HarnessError(f"{self.pod.name} did not run the trials: {said}") from error
        return told


@pytest.fixture(scope="module")
def gate(connection: Cluster, stack: Stack) -> Gate:
    found = connection.pods(stack.namespace, LABELS)
    if ready := [pod for pod in found if pod.serving]:
        return Gate(connection, ready[0])
    raise HarnessError(
        f"no gate of the reference stack runs in {stack.namespace} (component promotion); at one of"
        " another make only FLT-CAN-006 fires a bad canary, once"
    )


def test_no_worse_version_is_promoted(gate: Gate, evidence: Evidence) -> None:
    promoted = gate.trials["promoted"]
    evidence.record("promoted_of_59", promoted)
    # Negative control: a gate that promotes nobody tells no version from another.
    if promoted[SOUND] < LEAST_PROMOTED:
        raise HarnessError(f"of {RUNS} identical versions {promoted[SOUND]} were promoted")

    worse = {name: count for name, count in promoted.items() if name != SOUND and count}
    assert not worse, f"of {RUNS} each were promoted: {worse}"


def test_missing_figures_are_never_good(gate: Gate, evidence: Evidence) -> None:
    lacking, whole = gate.trials["lacking"], gate.trials["whole"]
    evidence.record("decisions", {"with every figure": whole, **lacking})
    # Negative control: the same with every figure goes on.
    if whole != ON:
        raise HarnessError(f"with every figure of two identical versions it says {whole}")

    blind = [why for why, decision in lacking.items() if decision == ON]
    assert not blind, f"it goes on with {', '.join(blind)}"


def test_a_step_lasts_for_its_declared_sample(gate: Gate, evidence: Evidence) -> None:
    early, whole = gate.trials["half the sample"], gate.trials["whole"]
    evidence.record("decisions", {"half the sample": early, "all of it": whole})
    if whole != ON:
        raise HarnessError(f"with the whole sample of two identical versions it says {whole}")

    assert early != ON, "it goes on after half of the sample that a step declares"
