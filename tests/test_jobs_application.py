"""The queued jobs of the reference stack: each has one result, whoever dies meanwhile."""

import signal
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from hotfire import Endpoint
from hotfire.batches import Batches, answers
from hotfire.engine.jobs import worker as worker_program
from hotfire.waiting import eventually
from tests.defects.queued_jobs_survive_the_loss_of_a_worker import ACKNOWLEDGES, DOES
from tests.jobs_machine import JOBS, LEASE_SECONDS, NEEDS_REDIS, Application
from tests.jobs_machine import application as running

pytestmark = NEEDS_REDIS


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    with running(tmp_path) as found:
        yield found


def test_each_job_has_one_result_though_a_worker_dies(application: Application) -> None:
    first, _ = application.worker(), application.worker()
    batch = application.accepted()
    assert application.await_answers(batch, 1).answered < len(JOBS)

    first.kill()

    last = application.await_answers(batch, len(JOBS))
    assert last.over
    assert application.results(last) == Counter(JOBS)


def test_jobs_are_lost_where_they_are_acknowledged_first(application: Application) -> None:
    source = Path(worker_program.__file__).read_text(encoding="utf-8")
    assert DOES in source
    first = application.run("-c", source.replace(DOES, ACKNOWLEDGES + DOES))
    batch = application.accepted()
    application.await_answers(batch, 1)

    first.kill()
    application.worker()

    done = eventually(lambda: application.now(batch).over, within_seconds=4 * LEASE_SECONDS)
    assert not done


def test_what_is_accepted_outlives_the_queue_and_new_ones_are_refused_meanwhile(
    application: Application,
) -> None:
    batch = application.accepted()
    application.redis.send_signal(signal.SIGSTOP)
    refused = application.client.submit(["late"], max_tokens=1)
    assert (refused.batch, refused.reply.status) == (None, 503)
    assert refused.reply.headers["retry-after"] == "1"
    assert refused.reply.seconds < 5

    application.redis.kill()
    application.redis.wait()
    application.start_queue()
    application.worker()

    assert application.results(application.await_answers(batch, len(JOBS))) == Counter(JOBS)


def test_nothing_is_told_of_a_batch_that_never_was(application: Application) -> None:
    assert application.client.look("batch_0").status == 404
    assert application.client.content("file-0").status == 404


@pytest.mark.parametrize("jobs", [["twice", "twice"], []])
def test_a_batch_whose_jobs_are_not_told_apart_is_refused(
    application: Application, jobs: list[str]
) -> None:
    assert application.client.submit(jobs, max_tokens=1).reply.status == 400


def test_what_the_engine_refuses_is_told_apart(application: Application) -> None:
    application.client = Batches(Endpoint(application.url, "unknown"), window="24h")
    application.worker()

    last = application.await_answers(application.accepted(["one"]), 1)

    assert (last.status, last.completed, last.failed) == ("completed", 0, 1)
    [file] = last.files
    [said] = answers(application.client.content(file).content)
    assert (said.job, said.status, said.ok) == ("one", 404, False)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"input_file_id": "file-0"}'])
def test_what_is_no_batch_is_refused(application: Application, body: bytes) -> None:
    connection = HTTPConnection(application.url.removeprefix("http://"), timeout=10)
    connection.request("POST", "/v1/batches", body)

    assert connection.getresponse().status == 400
    connection.close()
