"""What is concluded from the results of queued jobs, and what is asked of a target file."""

import json
from collections import Counter
from pathlib import Path

import pytest

from hotfire import Reply, TargetProfile
from hotfire.batches import Answer, Batch, Batches, answers
from hotfire.doctor.finding import Finding
from hotfire.doctor.jobs import jobs
from hotfire.doctor.permissions import Needs, Unit
from hotfire.doctor.site import Site
from hotfire.errors import ProfileError
from suites.api.test_queued_jobs_survive_the_loss_of_a_worker import Tally, judge
from tests.fake_api import connect, serving
from tests.foreign_cluster import foreign_cluster
from tests.test_rag_judgements import target

NAMES = ["a", "b", "c"]


def tally(**counts: int) -> Tally:
    return Tally(results=Counter(counts))


def test_one_result_each_is_sound() -> None:
    judge(tally(a=1, b=1, c=1), NAMES)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (tally(a=1), "2 of 3 jobs have no result: b, c"),
        (tally(a=1, b=2, c=1), "1 jobs have several results: b"),
        (tally(a=1, b=1, c=1, d=1), "1 results are of no job of this batch: d"),
    ],
)
def test_any_other_count_fails(found: Tally, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        judge(found, NAMES)


def told(**fields: object) -> Reply:
    return Reply(status=200, body={"id": "batch_1", "object": "batch", **fields})


def test_a_batch_is_read_from_what_is_told() -> None:
    counts = {"total": 3, "completed": 1, "failed": 1}

    found = Batch.of(
        told(status="in_progress", request_counts=counts, output_file_id="f", error_file_id=None)
    )

    assert found is not None
    assert (found.answered, found.files, found.over) == (2, ("f",), False)
    assert str(found) == "in_progress, 2 of 3 jobs answered"


@pytest.mark.parametrize(
    "reply",
    [Reply(status=404), Reply(status=200), Reply(status=200, body={"id": "x", "object": "file"})],
)
def test_what_is_no_batch_is_none(reply: Reply) -> None:
    assert Batch.of(reply) is None


def test_lines_that_say_nothing_are_passed_over() -> None:
    good = {"custom_id": "a", "response": {"status_code": 200}}
    failed = {"custom_id": "b", "response": None, "error": {"code": "x"}}
    lines = [json.dumps(good), json.dumps(failed), "half a li", "[]", ""]

    found = list(answers("\n".join(lines).encode()))

    assert found == [Answer(job="a", status=200), Answer(job="b", status=None)]
    assert [one.ok for one in found] == [True, False]


# The target file


def test_files_of_its_gateway_lie_beside_the_target_file(tmp_path: Path) -> None:
    found = target(tmp_path, "jobs: {gateway: {url: 'https://x', ca_file: ca.pem}}\n").jobs

    assert found is not None
    assert found.gateway is not None
    assert found.gateway.ca_file == tmp_path / "ca.pem"


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"jobs\.parts\.db"):
        target(tmp_path, "jobs: {parts: {db: {a: b}}}\n")


@pytest.mark.parametrize(
    ("section", "url"),
    [("{}", "http://127.0.0.1:1"), ("{gateway: {url: 'http://x', base_path: /b}}", "http://x/b")],
)
def test_jobs_are_sent_to_their_own_gateway_or_to_the_targets(
    tmp_path: Path, section: str, url: str
) -> None:
    profile = target(tmp_path, f"jobs: {section}\n")
    assert profile.jobs is not None

    with Batches.of(profile, profile.jobs) as client:
        assert client.base_url == url


def found_by_doctor(profile: TargetProfile) -> list[Finding]:
    unit = Unit(id="API-006", path=Path("x"), features=frozenset({"batch-jobs"}))
    nothing = Needs(api=frozenset(), fixtures=frozenset())
    with serving(foreign_cluster()) as address:
        cluster = connect(address)
        site = Site(profile=profile, cluster=cluster, units={unit: nothing}, every_run=nothing)
        return list(jobs(site))


def test_the_doctor_says_nothing_of_what_is_not_claimed(tmp_path: Path) -> None:
    assert found_by_doctor(target(tmp_path)) == []


def test_the_doctor_misses_the_section(tmp_path: Path) -> None:
    (found,) = found_by_doctor(target(tmp_path, "claims: [batch-jobs]\n"))

    assert found.seen == "batch-jobs is claimed, and the target file has no section jobs"
    assert found.ids == {"API-006"}


def test_the_doctor_misses_parts_and_their_pods(tmp_path: Path) -> None:
    section = "claims: [batch-jobs]\njobs: {parts: {api: {app: none}}}\n"

    found = [one.seen for one in found_by_doctor(target(tmp_path, section))]

    assert found[0].startswith("jobs.parts.api {'app': 'none'} takes no pod")
    assert found[1:] == ["jobs.parts.worker is not set", "jobs.parts.queue is not set"]
