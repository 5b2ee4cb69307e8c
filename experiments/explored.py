"""The target withstands faults that are drawn by chance, and that overlap.

What was broken on purpose was thought of by somebody; what breaks a platform mostly was not. Each
schedule is an experiment like any other, under the same load and judged by the same algorithm.
Only `hotfire explore` runs this; pytest finds it by its name alone.
"""

from functools import partial
from pathlib import Path
from time import monotonic

from hotfire.chaos.armed import tell
from hotfire.errors import HarnessError
from hotfire.evidence import Evidence
from hotfire.experiment import Campaign, Experiment, Stage
from hotfire.experiment.exploring.exploration import Exploration, World
from hotfire.experiment.exploring.firing import Firing, candidates, fits, holds
from hotfire.experiment.exploring.order import TOLD, Order
from hotfire.requirement import Level, requirement
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict

pytestmark = requirement(
    "FLT-ANY-001",
    Level.SHOULD,
    __doc__,
    source="https://principlesofchaos.org/",
)


def test_target_withstands_what_is_drawn(
    stage: Stage, campaign: Campaign, run: RunDirectory, evidence: Evidence
) -> None:
    order = Order.read(run)
    experiments = map(Experiment.load, sorted(Path(__file__).parent.glob("*/*.yaml")))
    known, left_out = candidates(stage, experiments, order)
    evidence.record("drawn_from", sorted(known))
    evidence.record("left_out", left_out)
    say = partial(_say, run)
    say(f"drawn from {len(known)} faults that the target can take: {', '.join(sorted(known))}")
    if not known:
        raise HarnessError(f"the target can take no fault that was asked for: {left_out}")
    firing = Firing(
        stage=stage, campaign=campaign, order=order, known=known, record=evidence.record
    )
    world = World(
        holds=holds(known),
        fits=partial(fits, known),
        fire=firing.fire,
        keep=firing.keep,
        say=say,
        seconds=monotonic,
    )
    search = Exploration(order=order, world=world)
    search.run()
    evidence.record("verdicts", {verdict.value: n for verdict, n in search.verdicts.items()})
    evidence.record("found", [str(one.smallest) for one in search.findings])

    told = "; ".join(f"{one.smallest} fails: {one.reason}" for one in search.findings)
    assert not search.findings, told
    if search.stopped:
        raise HarnessError(f"the target stayed broken: {search.stopped}")
    if not search.verdicts[Verdict.PASSED]:
        raise HarnessError("no schedule could be judged; the reasons are among the evidence")


def _say(run: RunDirectory, words: str) -> None:
    tell(run, TOLD, source="the exploration", kind="watch", data={"words": words})
