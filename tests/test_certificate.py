"""The page on probes and drains says what was measured, what is set, and never guesses."""

import re
from pathlib import Path

import pytest
import yaml

from hotfire.outcome import outcomes
from hotfire.rundir import Result, RunDirectory, RunInfo
from hotfire.verdict import Verdict
from reports import html, markdown
from reports._certificate import NOT_MEASURED, TITLE, Certificate, certificate
from tests.sample_run import result

FIGURES: dict[str, dict[str, float | None]] = {
    "LIF-001": {
        "startup_budget_seconds": 90.0, "slowest_cold_start_seconds": 41.2, "needed_seconds": 61.8,
    },
    "LIF-002": {"ready_without_answer": 0, "requests_lost_meanwhile": 0},
    "LIF-003": {"restarted_after_seconds": 21.4, "promised_seconds": 40.0},
    "LIF-005": {
        "propagation_seconds": 1.234, "longest_stream_measured_seconds": 18.3,
        "longest_stream_promised_seconds": 20.0, "least_prestop_seconds": 5.0,
        "least_shutdown_timeout_seconds": 30.0, "least_grace_seconds": 40.0,
    },
    "LIF-006": {"streams": 44, "lost": 0},
    "LIF-007": {
        "back_after_container_killed_seconds": 33.1, "back_after_pod_killed_seconds": 45.9,
    },
    "LIF-008": {"promised": 2, "lowest": 2, "requests": 1200, "lost": 3},
}  # fmt: skip


def row(id_: str, verdict: Verdict = Verdict.PASSED, **figures: float | None) -> Result:
    """Return a result of a check on probes and drains."""
    return result(id_, verdict).model_copy(update={"figures": FIGURES.get(id_, {}) | figures})


def whole() -> list[Result]:
    """Return the results of a run that measured everything there is."""
    return [row(id_) for id_ in FIGURES]


def page(*rows: Result) -> Certificate:
    """Return the page of some results."""
    made = certificate(outcomes(rows))
    assert made is not None
    return made


def numbers(made: Certificate) -> list[tuple[str, str, str]]:
    """Return what is measured, set and needed, line by line."""
    return [(each.measured, each.today, each.least) for each in made.numbers]


def test_each_number_stands_beside_its_setting_and_the_least_it_calls_for() -> None:
    assert numbers(page(*whole())) == [
        ("41.2 s", "90 s", "61.8 s"),
        ("21.4 s", "40 s", "-"),
        ("1.23 s", "5 s", "2 s"),
        ("18.3 s; 20 s promised", "30 s", "20 s"),
        ("-", "40 s", "35 s"),
    ]


def test_what_was_tried_is_told_with_its_counts() -> None:
    assert [(each.id, each.seen) for each in page(*whole()).trials] == [
        ("LIF-002", "0 looks at a Ready pod that did not answer, 0 requests lost"),
        ("LIF-004", NOT_MEASURED),
        ("LIF-006", "0 of 44 streams lost"),
        ("LIF-007", "all serve again 33.1 s after the first, 45.9 s after the second"),
        ("LIF-008", "never fewer than 2 ready, 2 promised, 3 of 1,200 requests lost"),
    ]


def test_manifest_to_copy_keeps_what_was_measured() -> None:
    document = yaml.safe_load(page(*whole()).manifest)

    [engine] = document["containers"]
    probe = engine["startupProbe"]
    assert (probe["failureThreshold"] - 1) * probe["periodSeconds"] >= 61.8
    assert engine["args"] == ["--shutdown-timeout=20"]
    assert engine["lifecycle"]["preStop"]["sleep"]["seconds"] == 2
    assert document["terminationGracePeriodSeconds"] == 2 + 20


def test_what_no_check_measured_is_said_to_be_so() -> None:
    made = page(result("LIF-001", Verdict.INCONCLUSIVE))

    assert {word for line in numbers(made) for word in line} == {NOT_MEASURED, "-"}
    assert made.manifest == ""


def test_numbers_of_an_undecided_check_are_shown_and_recommend_nothing() -> None:
    made = page(row("LIF-001", Verdict.INCONCLUSIVE))

    first = made.numbers[0]
    assert (first.measured, first.least) == ("41.2 s", NOT_MEASURED)
    assert made.manifest == ""


@pytest.mark.parametrize(
    ("id_", "figure", "place", "words"),
    [
        ("LIF-001", "startup_budget_seconds", 0, "no probe ends a start"),
        ("LIF-003", "restarted_after_seconds", 1, "no restart"),
    ],
)
def test_what_has_no_end_is_no_number(id_: str, figure: str, place: int, words: str) -> None:
    made = page(row(id_, Verdict.FAILED, **{figure: None}))

    assert words in numbers(made)[place]


def test_setting_that_is_too_short_counts_as_what_it_should_be() -> None:
    made = page(row("LIF-005", Verdict.FAILED, least_prestop_seconds=0.0))

    assert numbers(made)[4] == ("-", "40 s", "32 s")


def test_a_run_that_judged_no_probe_has_no_such_page() -> None:
    assert certificate(outcomes([result("API-001", Verdict.PASSED)])) is None


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    info = RunInfo.begin(command=("hotfire",), target_name="acme", tool_version="0.1.0")
    made = RunDirectory.create(tmp_path, info)
    for each in whole():
        made.append_result(each)
    return made


@pytest.mark.parametrize("render", [html.render, markdown.render], ids=["html", "markdown"])
def test_both_pages_tell_it(run: RunDirectory, render: object) -> None:
    assert callable(render)
    text = re.sub(r"(<[^>]+>|\||\s)+", " ", render(run))

    assert TITLE in text
    assert re.search(r"41\.2 s 90 s 61\.8 s LIF-001 passed", text)
    assert "terminationGracePeriodSeconds: 22 containers:" in text
