"""What the checks of a RAG application conclude from what it answers, and from its metrics."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.rag import Application, Asked, is_degraded
from fixtures.rag_hops import Spent
from hotfire import Reply, TargetProfile
from hotfire.cluster import Cluster, Pod
from hotfire.doctor.finding import Finding
from hotfire.doctor.permissions import Needs, Unit
from hotfire.doctor.rag import rag
from hotfire.doctor.site import Site
from hotfire.errors import HarnessError, ProfileError
from hotfire.measure.history import FailureClass
from hotfire.rag import Degradation
from suites.rag.test_a_slow_retriever_is_visible_as_such import judge as judge_hops
from suites.rag.test_loss_of_retrieval_ends_in_declared_degradation import judge as judge_loss
from suites.rag.test_parts_fail_and_scale_independently import changed, readiness
from tests.fake_api import connect, serving
from tests.foreign_cluster import NAMESPACE, foreign_cluster

TARGET = f"""
name: acme
namespace: {NAMESPACE}
gateway: {{url: "http://127.0.0.1:1"}}
engine: {{model: tiny}}
budgets: lab
stack: {{deploy: false}}
"""
FLAGGED = Degradation(header="X-Degraded")


def target(tmp_path: Path, rest: str = "") -> TargetProfile:
    (tmp_path / "target.yaml").write_text(TARGET + rest)
    return TargetProfile.read(tmp_path / "target.yaml")


def answered(text: str = "", status: int = 200, degraded: str | None = None) -> Reply:
    headers = {} if degraded is None else {"x-degraded": degraded}
    return Reply(status=status, text=text, finish_reason="stop", headers=headers)


# How an answer says that it lacks its context.


@pytest.mark.parametrize("value", ["true", "context", "1"])
def test_a_header_tells_of_degradation(value: str) -> None:
    assert is_degraded(answered(degraded=value), FLAGGED)


@pytest.mark.parametrize("value", [None, "false", "0", ""])
def test_no_header_or_one_that_says_no_tells_of_none(value: str | None) -> None:
    assert not is_degraded(answered(degraded=value), FLAGGED)


@pytest.mark.parametrize(
    "document", [{"rag": {"degraded": True}}, {"rag": {"degraded": ["store"]}}]
)
def test_a_field_tells_of_degradation_in_a_body_and_in_a_chunk(
    document: dict[str, object],
) -> None:
    declared = Degradation(field="rag.degraded")

    assert is_degraded(Reply(status=200, body=document), declared)
    assert is_degraded(Reply(status=200, events=["{}", json.dumps(document), "[DONE]"]), declared)


@pytest.mark.parametrize("document", [{}, {"rag": None}, {"rag": {"degraded": False}}, {"rag": []}])
def test_without_that_field_nothing_is_told(document: dict[str, object]) -> None:
    assert not is_degraded(Reply(status=200, body=document), Degradation(field="rag.degraded"))


def test_a_refusal_is_a_degradation_only_where_it_is_declared() -> None:
    refusal = answered(status=503)

    assert is_degraded(refusal, Degradation(status=503))
    assert not is_degraded(refusal, FLAGGED)


# RAG-002


def asked(reply: Reply) -> Asked:
    return Asked(reply=reply, word="Ostwick", degraded=is_degraded(reply, FLAGGED))


@pytest.mark.parametrize("reply", [answered(degraded="context"), answered("It is Ostwick.")])
def test_an_answer_that_is_flagged_or_has_its_context_is_sound(reply: Reply) -> None:
    judge_loss([asked(reply)], "the store is away", 5)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answered("Somebody."), "without context, and does not say so"),
        (answered(status=500), "500"),
        (Reply(error="deadline: x", failure=FailureClass.DEADLINE), "have not ended after 5.0 s"),
    ],
)
def test_what_hangs_or_lacks_its_context_in_silence_fails(reply: Reply, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        judge_loss([asked(answered(degraded="x")), asked(reply)], "the store is away", 5)


# RAG-001


def added(retriever: float | None, engine: float | None) -> Spent:
    return Spent(users_seconds=10, hops_seconds={"retriever": retriever, "engine": engine})


@pytest.mark.parametrize("spent", [added(8.5, 0.3), added(9.9, -0.5)])
def test_what_is_told_of_the_slow_hop_is_sound(spent: Spent) -> None:
    judge_hops(spent, 0.1, slow="retriever", other="engine")


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        (added(7, 0), "70% are told of it"),
        (added(9, 9), "90% are told of the engine"),
        (added(None, 0), "no such histogram: retriever"),
    ],
)
def test_what_is_told_of_nobody_or_of_another_hop_fails(spent: Spent, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        judge_hops(spent, 0.1, slow="retriever", other="engine")


def test_chance_speaks_for_the_target() -> None:
    judge_hops(added(7, 3), 1.5, slow="retriever", other="engine")


def test_what_was_added_is_what_is_more_than_usual() -> None:
    usual = Spent(users_seconds=1, hops_seconds={"retriever": 0.5, "engine": None})
    slow = Spent(users_seconds=5, hops_seconds={"retriever": 4.5, "engine": 1})

    found = slow.added_to(usual)

    assert found == Spent(users_seconds=4, hops_seconds={"retriever": 4, "engine": None})


# RAG-003


POD = Pod.parse(
    {
        "metadata": {"namespace": "x", "name": "api", "uid": "1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"1": POD}, ""),
        ({}, "is gone"),
        ({"1": replace(POD, deleting=True)}, "is gone"),
        ({"1": replace(POD, restarts=1)}, "was restarted"),
        ({"1": replace(POD, ready=False)}, "is not Ready any more"),
    ],
)
def test_what_became_of_a_pod(now: Mapping[str, Pod], said: str) -> None:
    assert changed(POD, dict(now)) == said


def test_a_probe_notices_within_its_failures() -> None:
    probes = [{"periodSeconds": 2, "failureThreshold": 2, "timeoutSeconds": 3}, {}]
    containers = [{"readinessProbe": probe} for probe in probes if probe] + [{}]

    assert list(readiness({"spec": {"containers": containers}})) == [6]


# What is declared, and what is not


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{}", "rag.gateway: required"),
        ("{gateway: {url: 'http://x'}, degradation: {}}", "name a header, a field or a status"),
        ("{gateway: {url: 'http://x'}, parts: {db: {a: b}}}", "rag.parts.db"),
        ("{gateway: {url: 'http://x/v1'}}", "rag.gateway.url"),
    ],
)
def test_a_wrong_section_is_refused(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        target(tmp_path, f"rag: {section}\n")


def test_files_of_its_gateway_lie_beside_the_target_file(tmp_path: Path) -> None:
    found = target(tmp_path, "rag: {gateway: {url: 'https://x', ca_file: ca.pem}}\n")

    assert found.rag is not None
    assert found.rag.gateway.ca_file == tmp_path / "ca.pem"


def application(profile: TargetProfile, cluster: Cluster) -> Application:
    assert profile.rag is not None
    return Application(rag=profile.rag, profile=profile, cluster=cluster, record=lambda _: None)


def test_its_clients_ask_at_its_own_gateway_for_its_own_model(tmp_path: Path) -> None:
    section = "rag: {gateway: {url: 'http://x', base_path: /rag}, model: helper}\n"
    with serving(foreign_cluster()) as address:
        app = application(target(tmp_path, section), connect(address))

    with app.client() as client:
        assert (client.base_url, client.model) == ("http://x/rag", "helper")


def test_what_is_not_declared_is_told_with_its_remedy(tmp_path: Path) -> None:
    with serving(foreign_cluster()) as address:
        profile = target(tmp_path, "rag: {gateway: {url: 'http://x'}}\n")
        app = application(profile, connect(address))

        with pytest.raises(HarnessError, match=r"set rag\.facts"):
            app.ask(1)
        with pytest.raises(HarnessError, match=r"set rag\.parts\.api"):
            app.pods("api")
        with pytest.raises(HarnessError, match=r"set rag\.degradation"):
            app.require_degradation()


def found_by_doctor(tmp_path: Path, rest: str) -> list[Finding]:
    unit = Unit(id="RAG-002", path=Path("x"), features=frozenset({"rag"}))
    units = {unit: Needs(api=frozenset(), fixtures=frozenset())}
    with serving(foreign_cluster()) as address:
        nothing = Needs(api=frozenset(), fixtures=frozenset())
        site = Site(
            profile=target(tmp_path, rest), cluster=connect(address), units=units, every_run=nothing
        )
        return list(rag(site))


def test_the_doctor_says_nothing_of_what_is_not_claimed(tmp_path: Path) -> None:
    assert found_by_doctor(tmp_path, "") == []


def test_the_doctor_misses_the_section(tmp_path: Path) -> None:
    (found,) = found_by_doctor(tmp_path, "claims: [rag]\n")

    assert found.seen == "rag is claimed, and the target file has no section rag"
    assert found.ids == {"RAG-002"}


def test_the_doctor_misses_what_checks_ask_for_and_parts_without_pods(tmp_path: Path) -> None:
    section = "rag: {gateway: {url: 'http://x'}, parts: {api: {app: none}}}\n"

    found = [one.seen for one in found_by_doctor(tmp_path, "claims: [rag-sessions]\n" + section)]

    assert found == [
        "rag.facts is not set",
        "rag.degradation is not set",
        "rag.metrics is not set",
        "rag-sessions is claimed",
        f"rag.parts.api {{'app': 'none'}} takes no pod in {NAMESPACE}",
    ]
