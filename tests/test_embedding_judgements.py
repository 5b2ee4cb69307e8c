"""Embedding work beyond what is carried: how it is sent, and what its check concludes from it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from fixtures import embeddings
from fixtures.embeddings import Embedder, Flood
from hotfire import Evidence, Reply, TargetProfile
from hotfire.engine.rag import embedder as own
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from hotfire.rag import Embeddings
from hotfire.traffic.runner.launch import LoadReport
from hotfire.waiting import until
from suites.rag.test_a_flood_of_embeddings_does_not_starve_generation import (
    Seen,
    judge,
)
from suites.rag.test_a_flood_of_embeddings_does_not_starve_generation import (
    test_a_flood_is_refused_or_queued_and_streams_keep_their_pace as check,
)
from tests.defects import a_flood_of_embeddings_does_not_starve_generation as twin
from tests.engine_process import running_engine
from tests.overlays import rewritten
from tests.test_rag_application import Part, running
from tests.test_recovery import served

PACE_SECONDS, FLOOR_SECONDS = 0.02, 0.005
MADE = Reply(status=200, body={"data": [1]}, seconds=0.3)
REFUSED = Reply(status=429, headers=MappingProxyType({"retry-after": "1"}), seconds=0.01)
LOST = Reply(status=500, seconds=0.1)


@pytest.fixture(scope="module")
def part() -> Iterator[Part]:
    """An embedder that takes a twentieth of a second for a text, and lets two wait."""
    with running("embedder", "0.05", "2") as found:
        yield found


def profile() -> TargetProfile:
    said = {"name": "t", "gateway": {"url": "http://g"}, "engine": {"model": "m"}, "budgets": "lab"}
    return TargetProfile.model_validate(said)


def asking(url: str) -> Embedder:
    document = {"gateway": {"url": url, "base_path": "/embed"}, "model": "embedder", "batch": 2}
    declared = Embeddings.model_validate(document)
    return Embedder(declared=declared, profile=profile(), record=lambda _: None)


def test_each_text_has_a_vector_of_its_own(part: Part) -> None:
    asked = {"model": "embedder", "input": ["one", "two"]}

    status, _, content = part.asked("POST", "/embed/v1/embeddings", asked)

    found = json.loads(content)
    assert (status, found["model"], found["usage"]["prompt_tokens"]) == (200, "embedder", 2)
    assert [one["index"] for one in found["data"]] == [0, 1]
    assert found["data"][0]["embedding"] != found["data"][1]["embedding"]


@pytest.mark.parametrize("asked", [{}, {"model": "m"}, []])
def test_what_is_no_embedding_is_refused(part: Part, asked: object) -> None:
    assert part.asked("POST", "/v1/embeddings", asked)[0] == 400
    assert part.asked("GET", "/v1/embeddings")[0] == 404


def test_what_is_carried_is_found_and_the_rest_of_a_flood_is_refused(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "_ASKERS", 2)
    monkeypatch.setattr(embeddings, "_CAPACITY_SECONDS", 1.0)
    embedder = asking(part.url)

    alone, capacity = embedder.alone(), embedder.capacity()
    flood = embedder.flood(5 * capacity, 60)

    # Two texts in each request.
    assert min(alone) >= 0.1
    assert 1 < capacity <= 10.5
    assert not flood.lost
    assert len(flood.embedded) + len(flood.refused) == 60
    assert len(flood.refused) > len(flood.embedded) > 0


def test_where_nothing_is_embedded_nothing_is_measured() -> None:
    with pytest.raises(HarnessError, match="nothing is embedded"):
        asking("http://127.0.0.1:1").alone()


def test_the_twin_has_tokens_wait_while_something_is_embedded() -> None:
    program = {"data": {"embedder.py": Path(own.__file__).read_text(encoding="utf-8")}}
    with running_engine() as engine:
        address = engine.url.removeprefix("http://")
        rewritten("embedder.py", twin.ALONE, twin.shared_with([address]))(program)
        source = program["data"]["embedder.py"]
        with running("embedder", "0.5", "2", source=source) as part, ThreadPoolExecutor(1) as pool:
            embedded = pool.submit(asking(part.url).embed)

            def pace() -> float:
                found: float = engine.truth()["script"]["tpot_seconds"]
                return found

            until(lambda: pace() == twin.SHARED_SECONDS, within_seconds=10, what="tokens that wait")
            assert embeddings.is_embedded(embedded.result(timeout=20))
            assert pace() == twin.USUAL_SECONDS


def rows(*paces: float, failed: int = 0) -> list[Request]:
    """Return answers with these times per token, and some that broke."""
    answers = [served(seq, tpot=pace) for seq, pace in enumerate(paces)]
    broken = [replace(served(0), error_class=FailureClass.RESET_MIDSTREAM) for _ in range(failed)]
    return [*answers, *broken]


def seen(
    among: list[Request], *replies: Reply, overload: float | None = None, count: int = 120
) -> Seen:
    return Seen(
        alone=rows(*[PACE_SECONDS] * count),
        among=among,
        flood=Flood(replies=replies, per_second=25.0),
        alone_seconds=0.2,
        report=LoadReport(planned=1, received=1, censored=0, stopped_at_ns=0, instrument=()),
        overload=overload,
    )


@pytest.mark.parametrize(
    ("slow", "failed", "beyond"), [(0, 0, False), (10, 0, False), (60, 0, True), (0, 60, True)]
)
def test_slower_answers_are_counted_against_chance(slow: int, failed: int, beyond: bool) -> None:
    among = rows(*[PACE_SECONDS] * (120 - slow), *[0.1] * slow, failed=failed)

    assert judge(seen(among), FLOOR_SECONDS).beyond is beyond


def test_a_quarter_slower_is_as_before() -> None:
    assert not judge(seen(rows(*[1.2 * PACE_SECONDS] * 120)), FLOOR_SECONDS).beyond
    assert judge(seen(rows(*[1.4 * PACE_SECONDS] * 120)), FLOOR_SECONDS).beyond


def test_too_few_answers_tell_nothing() -> None:
    with pytest.raises(HarnessError, match="it takes 100 each"):
        judge(seen(rows(*[PACE_SECONDS] * 120), count=90), FLOOR_SECONDS)


def told(found: Seen, monkeypatch: pytest.MonkeyPatch, evidence: Evidence) -> None:
    monkeypatch.setattr(LoadReport, "check", lambda _: None)
    check(found, profile(), evidence)


def test_a_flood_that_is_refused_while_streams_go_on_passes(
    monkeypatch: pytest.MonkeyPatch, evidence: Evidence
) -> None:
    told(seen(rows(*[PACE_SECONDS] * 120), MADE, REFUSED), monkeypatch, evidence)


@pytest.mark.parametrize(
    ("replies", "pace", "said"),
    [((MADE, LOST), PACE_SECONDS, "neither made nor refused"), ((REFUSED,), 0.1, "beside a flood")],
)
def test_lost_work_and_slow_streams_fail(
    replies: tuple[Reply, ...],
    pace: float,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    evidence: Evidence,
) -> None:
    with pytest.raises(AssertionError, match=said):
        told(seen(rows(*[pace] * 120), *replies), monkeypatch, evidence)


@pytest.mark.parametrize(
    ("replies", "pace", "overload", "said"),
    [
        ((replace(MADE, seconds=0.2),), PACE_SECONDS, None, "no flood"),
        ((REFUSED,), 0.1, 0.95, "overloaded"),
    ],
)
def test_what_was_no_flood_or_a_bad_machine_tells_nothing(
    replies: tuple[Reply, ...],
    pace: float,
    overload: float | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    evidence: Evidence,
) -> None:
    with pytest.raises(HarnessError, match=said):
        told(seen(rows(*[pace] * 120), *replies, overload=overload), monkeypatch, evidence)


@pytest.fixture
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return Evidence(tmp_path_factory.mktemp("evidence"))
