"""What the checks of lifecycle, observability and security make of what they read."""

from typing import Any

import pytest

from fixtures.beside import Look, late_during
from fixtures.liveness import liveness
from fixtures.model_filler import Filler
from fixtures.within_engines import Page, at_once
from hotfire.errors import HarnessError
from hotfire.experiment import pressure
from suites.lifecycle.test_liveness_leaves_a_busy_engine_alone import doubt
from suites.lifecycle.test_ready_pods_answer import Sample
from suites.lifecycle.test_rolling_update_keeps_its_capacity import least_serving
from suites.lifecycle.test_shutdown_settings_fit import (
    Needs,
    Propagation,
    Settings,
    prestop_seconds,
    shutdown_timeout_seconds,
)
from suites.lifecycle.test_startup_budget_exceeds_the_load_time import budget_seconds
from suites.observability.test_model_server_metrics_conform_and_move import (
    GAUGES,
    RUNNING,
    WAITING,
    nonconformity,
    standstill,
)
from suites.security.test_credentials_live_in_secrets import Text, credential
from tests.test_engines import spoken

NEEDS = Needs(propagation_seconds=2.0, stream_seconds=30.0)
SOUND = Settings(prestop_seconds=5.0, shutdown_timeout_seconds=40.0, grace_seconds=60.0)
NAMES = {what: f"vllm:{what}" for what in GAUGES}
IDLE = dict.fromkeys(NAMES.values(), 0.0)


def test_sound_shutdown_has_no_problem_and_each_shortened_copy_has_one() -> None:
    assert not SOUND.problem(NEEDS)

    copies = list(SOUND.shortened(NEEDS))
    assert len(copies) == 3
    assert all(each.problem(NEEDS) for each in copies)


@pytest.mark.parametrize(
    ("hook", "seconds"),
    [
        ({}, 0.0),
        ({"preStop": {"sleep": {"seconds": 15}}}, 15.0),
        ({"preStop": {"exec": {"command": ["sleep", "7"]}}}, 7.0),
        ({"preStop": {"exec": {"command": ["sh", "-c", "echo bye; sleep 7.5s"]}}}, 7.5),
    ],
)
def test_pre_stop_is_read_in_each_form(hook: dict[str, Any], seconds: float) -> None:
    assert prestop_seconds({"name": "vllm", "lifecycle": hook}) == seconds


def test_pre_stop_that_asks_somebody_is_not_guessed() -> None:
    hook = {"preStop": {"httpGet": {"path": "/drain", "port": 8000}}}

    with pytest.raises(HarnessError, match="cannot be told"):
        prestop_seconds({"name": "vllm", "lifecycle": hook})


@pytest.mark.parametrize(
    ("kind", "words", "seconds"),
    [
        ("vllm", "--port=8000 --shutdown-timeout=40", 40.0),
        ("vllm", "--shutdown_timeout 7.5", 7.5),
        ("vllm", "--port=8000", 0.0),
        ("llm-d-inference-sim", "--port=8000", 30.0),
    ],
)
def test_shutdown_timeout_is_the_given_one_or_that_of_the_kind(
    kind: str, words: str, seconds: float
) -> None:
    assert shutdown_timeout_seconds(spoken(kind), words) == seconds


def test_shutdown_timeout_of_an_engine_of_which_it_is_not_known_is_not_guessed() -> None:
    with pytest.raises(HarnessError, match="kind generic let answers end is not known"):
        shutdown_timeout_seconds(spoken("generic"), "--shutdown-timeout=40")


@pytest.mark.parametrize(
    ("container", "seconds"),
    [
        ({}, float("inf")),
        ({"startupProbe": {"periodSeconds": 2, "failureThreshold": 300}}, 598.0),
        ({"livenessProbe": {"initialDelaySeconds": 60}}, 80.0),
        ({"startupProbe": {"failureThreshold": 1}, "livenessProbe": {}}, 0.0),
    ],
)
def test_startup_budget_is_that_of_the_probe_which_kills_first(
    container: dict[str, Any], seconds: float
) -> None:
    assert budget_seconds(container) == seconds


@pytest.mark.parametrize(
    ("probe", "noticed", "grace"),
    [
        ({"periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 5}, 30.0, 60.0),
        ({"periodSeconds": 2, "timeoutSeconds": 3, "terminationGracePeriodSeconds": 5}, 9.0, 5.0),
    ],
)
def test_hung_container_goes_on_until_its_probe_and_its_grace_are_over(
    probe: dict[str, Any], noticed: float, grace: float
) -> None:
    containers = [{"name": "vllm", "livenessProbe": probe}]
    spec = {"containers": containers, "terminationGracePeriodSeconds": 60}

    found = liveness({"spec": spec}, "vllm")

    assert found
    assert (found.noticed_seconds, found.grace_seconds) == (noticed, grace)


@pytest.mark.parametrize(
    ("container", "store"),
    [
        ({"args": ["http://10.0.0.110:8080/models/tiny", "/models"]}, ("10.0.0.110", 8080)),
        ({"env": [{"name": "STORE", "value": "https://store.example/x"}]}, ("store.example", 443)),
    ],
)
def test_store_is_read_from_what_the_filler_is_given(
    container: dict[str, Any], store: tuple[str, int]
) -> None:
    assert Filler({"name": "fill", **container}, [], "/models").store() == store


def page(text: str, content_type: str = "text/plain; version=0.0.4") -> Page:
    return Page(content_type, text)


def test_page_with_each_gauge_conforms() -> None:
    text = "".join(f"# TYPE {name} gauge\n{name}{{engine='0'}} 0\n" for name in NAMES.values())

    assert not nonconformity(page(text.replace("'", '"')), list(NAMES.values()))


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (page("[]", "application/json"), "serves application/json"),
        (page('[{"iter": 1}]'), "no page of metrics"),
        (page("# TYPE up gauge\nup 1\n"), f"has no {NAMES[RUNNING]}"),
        (page(f"# TYPE {NAMES[RUNNING]} counter\n{NAMES[RUNNING]} 1\n"), "is no gauge"),
    ],
)
def test_page_that_tells_a_scraper_nothing_does_not_conform(told: Page, problem: str) -> None:
    assert problem in nonconformity(told, list(NAMES.values()))


def watched(waiting: float, running: float = 32.0) -> dict[str, list[Any]]:
    one = dict.fromkeys(NAMES.values(), 0.5) | {NAMES[WAITING]: 0.0}
    many = IDLE | {NAMES[RUNNING]: running, NAMES[WAITING]: waiting, "open": 40}
    return {"idle": [IDLE], "one": [one] * 9, "many": [many] * 9, "after": [IDLE, IDLE]}


def test_gauges_that_move_stand_nowhere_still() -> None:
    assert not standstill(watched(8.0), NAMES, 40)


def test_waiting_gauge_at_zero_under_pressure_stands_still() -> None:
    assert f"{NAMES[WAITING]} stays at 0" in standstill(watched(0.0), NAMES, 40)


def test_nobody_waiting_where_all_run_proves_nothing() -> None:
    with pytest.raises(HarnessError, match="made nobody wait"):
        standstill(watched(0.0, running=40.0), NAMES, 40)


def test_gauge_that_does_not_come_back_is_told() -> None:
    found = watched(8.0) | {"after": [IDLE, IDLE | {NAMES[RUNNING]: 1.0}]}

    assert "after the last answer" in standstill(found, NAMES, 40)


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("vllm serve m --max-num-seqs=32", 32),
        ("--max_num_seqs 7 --x", 7),
        ("vllm serve m --tensor-parallel-size 2", 256),
        ("llama-server --parallel 8", 8),
    ],
)
def test_limit_at_once_is_read_from_the_command_line(words: str, limit: int) -> None:
    assert at_once(words) == limit


HUB = {"hub/token": "correct-horse-battery"}
ARGUMENTS, VARIABLE, LOG = "the arguments of a/b", "variable X of a/b", "the log of a/b"


@pytest.mark.parametrize(
    ("where", "content"),
    [
        (LOG, "loading with correct-horse-battery"),
        (LOG, "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"),
        (LOG, "using hf_abcdefghijklmnopqrstuvwx"),
        (LOG, "postgres://user:secretword@db:5432/x"),
        (ARGUMENTS, "serve m --api-key sesame-open-now"),
        (VARIABLE, "VLLM_API_KEY=sesame-open-now"),
        (VARIABLE, "DB_PASSWORD=sesame-open-now"),
    ],
)
def test_credential_is_found_by_value_shape_or_name(where: str, content: str) -> None:
    assert credential(Text(where, content), HUB)


@pytest.mark.parametrize(
    ("where", "content"),
    [
        (
            ARGUMENTS,
            "serve m --tokenizer mistralai/Mistral-7B --max-tokens 4096 --tokenizer-mode auto",
        ),
        (VARIABLE, "HF_TOKEN_PATH=/var/run/secrets/hub/token"),
        (VARIABLE, "API_KEY=$(KEY_FROM_SECRET)"),
        (VARIABLE, "MAX_TOKEN=123456789"),
        (LOG, "Authentication token: none"),
        (LOG, "GET http://10.0.0.1:8000/health"),
    ],
)
def test_what_only_sounds_like_a_credential_is_none(where: str, content: str) -> None:
    assert not credential(Text(where, content), HUB)


def test_a_row_is_beside_a_look_that_overlaps_it_or_is_less_than_a_second_away() -> None:
    second = 1_000_000_000
    looks = [Look(0, second), Look(5 * second, 9 * second)]

    assert not late_during(looks, 0, second)
    assert late_during(looks, 6 * second, 7 * second)
    assert late_during(looks, second, 4 * second + 1)
    assert not late_during(looks, 11 * second, 12 * second)


@pytest.mark.parametrize(
    ("control", "overload", "silent", "why"),
    [
        (0.2, 0.5, 0.0, ""),
        (0.2, None, 0.0, ""),
        (3.0, 0.5, 0.0, "the backend that stayed"),
        (0.2, 0.97, 0.0, "for a CPU"),
        (0.2, None, 8.0, "API server"),
    ],
)
def test_a_late_propagation_is_nobodys_where_the_machine_stood_still(
    control: float, overload: float | None, silent: float, why: str
) -> None:
    seen = Propagation(
        seconds=11.0,
        requests=8,
        control_seconds=control,
        overload=overload,
        silent_seconds=silent,
    )

    assert why in seen.disturbance()
    assert bool(seen.disturbance()) == bool(why)


def serving(uid: str, *, ready: bool, deleting: bool = False) -> dict[str, Any]:
    stamp = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    conditions = [{"type": "Ready", "status": str(ready)}]
    metadata = {"name": uid, "namespace": "x", "uid": uid, **stamp}
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions}}


def test_least_serving_counts_who_is_on_its_way_out_as_gone() -> None:
    before = {"a": True, "b": True}
    surge = [serving("c", ready=False), serving("c", ready=True)]
    leaving = [serving("a", ready=True, deleting=True), serving("b", ready=True, deleting=True)]

    assert least_serving(before, [*surge, *leaving]) == 1
    assert least_serving(before, [*leaving, *surge]) == 0


LOOK = [8.0, 100.0]


@pytest.mark.parametrize(
    ("looks", "why"),
    [
        ([[8.0, float(made)] for made in range(20)], ""),
        ([LOOK] * 20, "stands still"),
        ([[8.0, 1.0]] * 12 + [[0.0, 2.0]], "nobody waited"),
        ([[None, 1.0]] * 20, "lacks"),
        ([None] * 20, "0 times"),
    ],
)
def test_an_engine_was_busy_if_somebody_waited_and_tokens_were_made(
    looks: list[list[float | None] | None], why: str
) -> None:
    assert why in doubt(looks)
    assert bool(doubt(looks)) == bool(why)


def test_a_sample_counts_only_beside_a_control_that_was_on_time() -> None:
    second = 1_000_000_000
    facts: dict[str, Any] = {"began_ns": 0, "ended_ns": second, "answer": "TimeoutError"}
    ready = Sample(ready_before=True, ready_after=True, **facts)

    assert ready.claimed([Look(0, second // 5)])
    assert not ready.claimed([Look(second // 2, 7 * second)])
    assert not Sample(ready_before=True, ready_after=False, **facts).claimed([])


def test_overload_is_the_share_of_the_time_in_which_somebody_waited() -> None:
    began, ended = (1_000_000, 0), (1_500_000, 1_000_000_000)

    assert pressure.share(began, ended) == 0.5
    assert pressure.share((None, 0), ended) is None
    assert pressure.share(began, began) is None
