"""Queued jobs survive worker loss and deliver one result each.

Whoever queues a job has gone when it is done, and tries nothing again. A worker that takes a job
off the queue before it has done it takes it along when it dies; one that is given a job a second
time may answer it twice, and somebody pays for both or trains on both. The ids tell: each that was
queued has one answer, and no other one has any.
"""

from collections import Counter
from dataclasses import dataclass

from fixtures.changes import Changes
from fixtures.jobs import QueuedJobs, names_of_jobs
from fixtures.replicas import kill_to_its_end
from hotfire import Evidence, Level, requirement
from hotfire.batches import Batch
from hotfire.chaos.agent_client import AgentClient
from hotfire.errors import HarnessError
from hotfire.jobs import Part

pytestmark = requirement(
    "API-006",
    Level.SHOULD,
    __doc__,
    source="https://github.com/llm-d/llm-d-async/issues/404",
    features={"batch-jobs"},
)

JOBS = 500
# Long enough for all of them not to be done before a worker can be killed.
MAX_TOKENS = 32
_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many results each job has that was done."""

    results: Counter[str]

    def missing(self, names: list[str]) -> list[str]:
        """Return those of some jobs that have none."""
        return [one for one in names if not self.results[one]]

    def twice(self) -> list[str]:
        """Return the jobs that have more than one."""
        return [one for one, count in self.results.items() if count > 1]

    def foreign(self, names: list[str]) -> list[str]:
        """Return the jobs with a result that are none of these."""
        return sorted(self.results.keys() - set(names))


def judge(tally: Tally, names: list[str]) -> None:
    """Fail where a job has not exactly one result."""
    missing, twice, foreign = tally.missing(names), tally.twice(), tally.foreign(names)
    assert not missing, f"{len(missing)} of {len(names)} jobs have no result: {_some(missing)}"
    assert not twice, f"{len(twice)} jobs have several results: {_some(twice)}"
    assert not foreign, f"{len(foreign)} results are of no job of this batch: {_some(foreign)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")


def kill_a_worker(queued_jobs: QueuedJobs, agent: AgentClient, batch: Batch) -> str:
    """Kill a worker amid a batch as the kernel does, without a word to it; return its name.

    Raises:
        HarnessError: all its jobs were done by then.
    """
    worker = queued_jobs.pods("worker")[0]
    kill_to_its_end(queued_jobs.cluster, agent, worker, worker.containers[0].name)
    if queued_jobs.look(batch).over:
        raise HarnessError(f"all {JOBS} jobs were done before {worker.name} had died: nothing lost")
    return worker.name


def test_each_job_has_one_result_though_a_worker_dies(
    queued_jobs: QueuedJobs, agent: AgentClient, evidence: Evidence
) -> None:
    *names, never = names_of_jobs(JOBS + 1)
    batch = queued_jobs.accepted(names, max_tokens=MAX_TOKENS)
    evidence.record("first_answered", str(queued_jobs.begun(batch)))
    killed = kill_a_worker(queued_jobs, agent, batch)
    evidence.record("killed", killed)
    last = queued_jobs.settled(batch)
    evidence.record("at_the_end", str(last))
    assert last.over, (
        f"{killed} was killed, and {queued_jobs.patience_seconds:g} s after the last answer the"
        f" batch is {last}: the others are lost"
    )

    answers = queued_jobs.answers(last)
    tally = Tally(results=Counter(one.job for one in answers if one.ok))
    evidence.record("results", tally.results.total())
    evidence.record("refused", [one.job for one in answers if not one.ok])
    judge(tally, names)
    # Negative control: by the same count a job that was held back is missed.
    assert tally.missing([never]), f"{never} was never queued, and has a result"


def test_what_was_never_queued_has_no_result(queued_jobs: QueuedJobs, evidence: Evidence) -> None:
    [name] = names_of_jobs(1)
    queued = queued_jobs.accepted([name], max_tokens=1)
    never = f"{queued.name[: -len(name)]}{name}"
    if never == queued.name or not queued_jobs.is_told(queued.name):
        raise HarnessError(f"of {queued.name}, which was queued, nothing is told")
    told = queued_jobs.is_told(never)
    evidence.record("never_queued", {"batch": never, "told_of": told})

    assert not told, f"{never} was never queued, and something is told of it"


def test_api_and_workers_scale_apart(
    queued_jobs: QueuedJobs, changes: Changes, evidence: Evidence
) -> None:
    pairs: tuple[tuple[Part, Part], ...] = (("worker", "api"), ("api", "worker"))
    moved = []
    for part, other in pairs:
        # Who was killed by the case before has to be back.
        queued_jobs.require_whole(other, queued_jobs.workload(other).replicas)
        grows, stays = queued_jobs.uids(part), queued_jobs.uids(other)
        with queued_jobs.grown(part, changes):
            # Negative control: by the same look the part itself is not as before.
            if queued_jobs.uids(part) == grows:
                raise HarnessError(f"one more {part} was asked for, and none is seen")
            if queued_jobs.uids(other) != stays:
                moved.append(f"{other} with the {part}")
    evidence.record("moved", moved)

    assert not moved, f"one part grows with the other: {', '.join(moved)}"
