"""A schedule fired at a target: written as an experiment, conducted, judged beyond its budgets."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import yaml

from hotfire.chaos import undo
from hotfire.chaos.blast import resolve
from hotfire.chaos.overlap import conflict
from hotfire.chaos.plan import Plan, names, ready_engines
from hotfire.errors import HarnessError, HotfireError, RollbackFailed
from hotfire.experiment.campaign import Campaign
from hotfire.experiment.conduct import Stage, conduct
from hotfire.experiment.document import Experiment
from hotfire.experiment.exploring.compose import compose
from hotfire.experiment.exploring.exploration import Finding, Outcome
from hotfire.experiment.exploring.invariants import broken
from hotfire.experiment.exploring.order import FOUND, Order
from hotfire.experiment.exploring.schedule import Hold, Schedule
from hotfire.experiment.judgement import Judgement
from hotfire.experiment.record import read_record
from hotfire.profile import TargetProfile
from hotfire.verdict import Verdict
from hotfire.waiting import of_target

_FIRED: Final = "explored"


class Candidate(NamedTuple):
    """A fault that the target can take."""

    experiment: Experiment
    plan: Plan


def candidates(
    stage: Stage, experiments: Iterable[Experiment], order: Order
) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Return the faults to draw from by id, and why each other one is not among them."""
    found, left_out = {}, {}
    for one in experiments:
        if order.faults and one.id not in order.faults:
            continue
        if unclaimed := one.fault.features - stage.world.profile.claims:
            left_out[one.id] = f"not claimed: {', '.join(sorted(unclaimed))}"
            continue
        try:
            found[one.id] = Candidate(one, resolve(stage.world, one.fault))
        except HotfireError as error:
            left_out[one.id] = str(error)
    return found, left_out


def holds(known: Mapping[str, Candidate]) -> dict[str, Hold]:
    """Return for how long each fault may be held."""
    return {name: Hold.of(one.experiment.fault) for name, one in known.items()}


def fits(known: Mapping[str, Candidate], faults: tuple[str, ...]) -> bool:
    """Return whether faults may be there at a time."""
    chosen = [known[name] for name in faults]
    wide = any(one.experiment.fault.targets.alone for one in chosen)
    return len(chosen) == 1 or not (wide or conflict([one.plan for one in chosen]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """Fires schedules under one load, and writes those that fail."""

    stage: Stage
    campaign: Campaign
    order: Order
    known: Mapping[str, Candidate]
    record: Callable[[str, object], object]
    """Keeps what was seen of a schedule, by the name of its experiment."""

    def fire(self, number: int, schedule: Schedule) -> Outcome:
        """Return what became of a schedule."""
        name = self.stage.run.unused_name(self._id(number))
        experiment = self._write(_FIRED, name, schedule, told=f"Drawn: {schedule}.")
        outcome = self._fired(experiment)
        seen = {"schedule": str(schedule), "verdict": outcome.verdict, "reason": outcome.reason}
        self.record(name, seen)
        return outcome

    def keep(self, finding: Finding) -> None:
        """Write a schedule that failed as an experiment that can be fired again."""
        name = self._id(finding.number)
        self._write(FOUND, name, finding.smallest, told=_told(finding, self.order))

    def _fired(self, experiment: Experiment) -> Outcome:
        try:
            plan = resolve(self.stage.world, experiment.fault)
            judgement = conduct(
                experiment, self.stage, load=self.campaign.part, observer=lambda *_: None
            )
        except RollbackFailed as error:
            return Outcome(Verdict.FAILED, f"something is left behind: {error}", stop=True)
        except HarnessError as error:
            return Outcome(Verdict.INCONCLUSIVE, str(error))
        self.campaign.rest(judgement)
        return self._judged(experiment, plan, judgement)

    def _judged(self, experiment: Experiment, plan: Plan, judgement: Judgement) -> Outcome:
        """Return the verdict; what it did not charge may break what holds of every fault."""
        verdict, reason = judgement.verdict, judgement.reason
        left = list(self._residue(plan))
        wrong = [*broken(read_record(self.stage.run, experiment.id), plan), *left]
        if verdict is Verdict.PASSED and wrong:
            verdict, reason = Verdict.FAILED, "; ".join(wrong)
        stop = judgement.stop
        if verdict is Verdict.FAILED and not left:
            # Its users suffered; once it is whole again, a smaller schedule may be tried.
            stop = stop and not self._is_whole(plan)
        return Outcome(verdict, reason, stop=stop or bool(left))

    def _residue(self, plan: Plan) -> Iterator[str]:
        """Yield what is left of a fault: undo copies, and entries of the nodes that were hit."""
        world = self.stage.world
        copies = undo.copies(world.cluster, world.profile.system_namespace)
        for entry in copies.entries:
            yield f"an undo entry of {entry.fault} is left open"
        for node in sorted({one.node for one in plan.targets if one.node}):
            if entries := world.agent.open_entries(node):
                yield f"node {node} has the open entry {entries[0].id}"

    def _is_whole(self, plan: Plan) -> bool:
        world, wanted = self.stage.world, len(plan.bystanders) + len(_engines_hit(plan))
        back = of_target(
            lambda: ready_engines(world) >= wanted,
            within_seconds=world.profile.waits.pod_ready_seconds,
            what=f"{wanted} Ready engines after {names(plan.targets)} was hit",
            poll_seconds=1.0,
            excused_seconds=world.cluster.silent_seconds,
        )
        return bool(back)

    def _id(self, number: int) -> str:
        return f"FLT-S{self.order.seed}-{number:03d}"

    def _write(self, folder: str, name: str, schedule: Schedule, *, told: str) -> Experiment:
        known = {name: one.experiment for name, one in self.known.items()}
        document = compose(schedule, known, self._profile, id_=name, told=told)
        text = yaml.safe_dump(document, sort_keys=False, width=120)
        return Experiment.load(self.stage.run.write_text(f"{folder}/{name.lower()}.yaml", text))

    @property
    def _profile(self) -> TargetProfile:
        return self.stage.world.profile


def _engines_hit(plan: Plan) -> set[str]:
    return {one.uid for one in plan.targets if one.uid in plan.before}


def _told(finding: Finding, order: Order) -> str:
    """Return why a file was written: what was drawn, what became of it, how sure that is."""
    again = f"seen to fail {finding.times} times" if finding.times > 1 else "failed once only"
    whole = "nothing smaller fails" if finding.whole else "smaller ones were not all tried"
    return (
        f"Found by `hotfire explore` with seed {order.seed}, as schedule {finding.number}"
        f" ({finding.drawn}); {again}, {whole}. It failed because: {finding.reason}"
    )
