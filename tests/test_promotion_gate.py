"""The promotion gate moves a route's weights by what two real engines answer, and by no more."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from hotfire.engine import api_server, promotion_answers, promotion_decision, promotion_gate
from hotfire.engine.promotion_answers import ask, compared, fingerprints, page, since
from hotfire.engine.promotion_decision import Seen
from hotfire.engine.promotion_gate import ANNOTATION, CHANGED, Gate
from tests.engine_process import EngineProcess, running_engine

ARGUMENTS = ("--ttft-seconds=0.001", "--tpot-seconds=0.001")
Document = dict[str, Any]


class FakeApi(api_server.Api):
    """A route, and one Ready pod of each version."""

    def __init__(self, stable: EngineProcess, canary: EngineProcess) -> None:
        self.version = 1
        self.pods = {"vllm": pod(stable, "v1"), "canary": pod(canary, "c1")}
        backends = [{"name": "vllm", "weight": 90}, {"name": "canary", "weight": 10}]
        self.route: Document = {
            "metadata": {"uid": "u", "resourceVersion": "1"},
            "spec": {"rules": [{"backendRefs": backends, "timeouts": {"request": "300s"}}]},
        }

    def get(self, path: str) -> Document:
        if "labelSelector" in path:
            return {"items": [self.pods[path.rpartition("%3D")[2]]]}
        return deepcopy(self.route)

    def patch(self, path: str, body: Document) -> None:
        if body["metadata"]["resourceVersion"] != self.route["metadata"]["resourceVersion"]:
            raise OSError("409")
        self.version += 1
        self.route["metadata"] |= body["metadata"] | {"resourceVersion": str(self.version)}
        self.route["spec"] |= body["spec"]

    def roll_out(self, template: str) -> None:
        self.pods["canary"]["metadata"]["labels"]["pod-template-hash"] = template

    @property
    def weights(self) -> list[int]:
        return [one["weight"] for one in self.route["spec"]["rules"][0]["backendRefs"]]

    @property
    def note(self) -> Document:
        found: Document = json.loads(self.route["metadata"]["annotations"][ANNOTATION])
        return found


def pod(engine: EngineProcess, template: str) -> Document:
    ports = [{"name": "http", "containerPort": engine.port}]
    status = {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"labels": {"pod-template-hash": template}}
    return {"metadata": metadata, "spec": {"containers": [{"ports": ports}]}, "status": status}


@pytest.fixture(scope="module")
def stable() -> Iterator[EngineProcess]:
    with running_engine(*ARGUMENTS) as found:
        yield found


@pytest.fixture
def canary() -> Iterator[EngineProcess]:
    with running_engine(*ARGUMENTS) as found:
        yield found


@pytest.fixture
def api(stable: EngineProcess, canary: EngineProcess, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """A route before any trial; each step asks for a tenth, since what is known is not at stake."""
    monkeypatch.setattr(promotion_decision, "ASKED", 45)
    # So little time is measured here that the machine's noise is what differs.
    monkeypatch.setattr(promotion_decision, "MARGIN", 10.0)
    monkeypatch.setattr(promotion_gate, "BATCH", 45)
    return FakeApi(stable, canary)


@pytest.fixture
def gate(api: FakeApi) -> Gate:
    """A gate that has accepted the version that was there."""
    found = Gate(api, "stack", "inference", "vllm", "canary")
    found.turn()
    return found


def test_the_version_that_is_there_keeps_its_users(gate: Gate, api: FakeApi) -> None:
    assert gate.turn() == ""
    assert api.weights == [90, 10]
    assert (api.note["accepted"], api.note["weight"]) == ("c1", 10)


def test_a_sound_version_gets_more_users_step_by_step(gate: Gate, api: FakeApi) -> None:
    api.roll_out("c2")
    seen = []
    for _ in range(5):
        gate.turn()
        seen.append(api.weights[1])

    assert seen == [5, 25, 50, 100, 100]
    assert (api.note["accepted"], api.note["weight"]) == ("c2", 100)
    assert api.route["spec"]["rules"][0]["timeouts"] == {"request": "300s"}


def test_a_bad_version_gets_none_and_the_former_one_its_own_again(
    gate: Gate, api: FakeApi, canary: EngineProcess
) -> None:
    canary.script(misbehaviour="internal_error", every=3)
    api.roll_out("bad")
    gate.turn()
    gate.turn()
    taken_back, why = api.weights, api.note["why"]
    gate.turn()
    left_alone = api.weights
    api.roll_out("c1")
    gate.turn()

    assert taken_back == left_alone == [100, 0]
    assert "errors" in why
    assert api.weights == [90, 10]


def test_a_version_with_the_weights_of_another_model_gets_no_user_at_all(
    gate: Gate, api: FakeApi, canary: EngineProcess
) -> None:
    canary.script(misbehaviour="echo")
    api.roll_out("other-weights")
    gate.turn()

    assert api.weights == [100, 0]
    assert "50 of 50" in api.note["why"]


def test_a_version_that_says_so_may_answer_otherwise(
    gate: Gate, api: FakeApi, canary: EngineProcess
) -> None:
    canary.script(misbehaviour="echo")
    api.roll_out("new-model")
    api.pods["canary"]["metadata"]["annotations"] = {CHANGED: "changed"}
    for _ in range(4):
        gate.turn()
    promoted = api.weights
    gate.turn()

    assert promoted == [0, 100]
    assert api.note["answers"] == fingerprints([f"127.0.0.1:{canary.port}"])


def test_answers_are_compared_where_both_versions_gave_one() -> None:
    assert compared(["a", "b", "", "d"], ["a", "x", "c", ""]) == Seen(known=2, other=1, ended=0)


def test_a_question_that_is_not_always_answered_alike_is_not_compared(
    canary: EngineProcess,
) -> None:
    canary.script(misbehaviour="echo", every=3)

    assert "" in fingerprints([f"127.0.0.1:{canary.port}"])


def test_a_version_whose_pages_do_not_tell_is_taken_back_in_the_end(
    gate: Gate, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = (*promotion_answers.SERIES, "vllm:unheard_of")
    monkeypatch.setattr(promotion_answers, "SERIES", series)
    api.roll_out("c2")
    gate.turn()
    gate.turn()
    waiting = api.weights
    monkeypatch.setattr(promotion_gate, "STEP_SECONDS", 0.0)
    gate.turn()

    assert (waiting, api.weights) == ([95, 5], [100, 0])
    assert "metrics pages" in api.note["why"]


@pytest.mark.parametrize("version", ["vllm", "canary"])
def test_nothing_is_begun_while_a_version_has_no_ready_pod(
    gate: Gate, api: FakeApi, version: str
) -> None:
    api.roll_out("c2")
    api.pods[version]["status"]["conditions"] = []

    assert "Ready pods" in gate.turn()
    assert api.weights == [90, 10]


def test_a_step_is_not_taken_where_somebody_else_wrote_the_route(
    gate: Gate, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.roll_out("c2")
    gate.turn()
    with monkeypatch.context() as refused:
        refused.setattr(api, "patch", refuse)
        with pytest.raises(OSError, match="409"):
            gate.turn()
    gate.turn()

    assert api.weights == [75, 25]


def refuse(*_: object) -> None:
    raise OSError("409")


def test_an_answer_tells_its_errors_its_schema_and_its_times(canary: EngineProcess) -> None:
    address = f"127.0.0.1:{canary.port}"
    timed, bound = (ask(address, "tiny", 1, bound=each) for each in (False, True))
    canary.script(misbehaviour="free_text")
    invalid = ask(address, "tiny", 1, bound=True)
    canary.script(misbehaviour="truncate")
    broken = ask(address, "tiny", 1, bound=False)

    assert (timed.asked, timed.errors, len(timed.ttft_seconds), len(timed.tpot_seconds)) == (
        1, 0, 1, 1,
    )  # fmt: skip
    assert bound == Seen(asked=1, bound=1, ended=0)
    assert invalid == Seen(asked=1, bound=1, invalid=1, ended=0)
    assert broken == Seen(asked=1, errors=1, ended=0)


def test_pages_tell_what_ended_since_and_nothing_of_pods_that_count_anew(
    canary: EngineProcess,
) -> None:
    address = f"127.0.0.1:{canary.port}"
    before = {address: page(address)}
    for number in range(3):
        ask(address, "tiny", number, bound=False)
    now = {address: page(address)}

    assert since(before, now) == Seen(ended=3)
    assert since(now, before) == since({}, now) == since(before, {address: None}) == Seen()
    assert since(before, {}) == Seen()
