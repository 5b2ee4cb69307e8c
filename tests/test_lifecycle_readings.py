"""What the checks of lifecycle, observability and security make of what they read."""

from typing import Any

import pytest

from fixtures.model_filler import Filler
from fixtures.within_engines import Page
from hotfire.errors import HarnessError
from suites.lifecycle.test_liveness_restarts_a_hung_engine import liveness
from suites.lifecycle.test_shutdown_settings_fit import Needs, Settings, prestop_seconds
from suites.lifecycle.test_startup_budget_exceeds_the_load_time import budget_seconds
from suites.observability.test_model_server_metrics_conform_and_move import (
    GAUGES,
    RUNNING,
    WAITING,
    at_once,
    nonconformity,
    standstill,
)
from suites.security.test_credentials_live_in_secrets import Text, credential

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
    [("vllm serve m --max-num-seqs=32", 32), ("--max_num_seqs 7 --x", 7), ("vllm serve m", 256)],
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
