"""A report says what the run directory says, in a document other programs accept."""

import html
import importlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hotfire.cli.project import ReportFormat, document_names
from hotfire.measure.crosscheck import Agreement, CrossCheck
from hotfire.measure.history import to_row
from hotfire.rundir import Result, RunDirectory, RunInfo
from hotfire.traffic.record.calibration import Calibration, Error, Host
from hotfire.verdict import Verdict
from reports._figure import figure, window
from reports._words import figure as shown
from reports._words import portable
from tests.sample_run import FAULT, INSTRUMENT, requests, result, write_sample_run

FORMATS = ["html", "json", "junit", "markdown"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return write_sample_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def empty_run(tmp_path: Path) -> RunDirectory:
    info = RunInfo.begin(command=("pytest",), target_name="acme", tool_version="0.1.0")
    return RunDirectory.create(tmp_path, info)


@pytest.fixture(scope="module")
def witnessed_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run whose fault's load the engines were asked about, and a load of nobody's beside it."""
    run = write_sample_run(tmp_path_factory.mktemp("runs"))
    told = CrossCheck(agreement=Agreement.AGREES, reason=ENGINES_SAY, requests_by_client=650)
    run.write_text("history/FLT-POD-001.crosscheck.json", told.model_dump_json())
    instrument = {**INSTRUMENT, "calibration": CALIBRATION.model_dump(mode="json")}
    run.write_text("history/FLT-POD-001.instrument.json", json.dumps(instrument))
    rows = [json.dumps(to_row(row)) for row in requests()[:200]]
    run.history_path("load").write_text("\n".join(rows) + "\n")
    bench = [{"name": "median TTFT", "ours_seconds": 0.1, "theirs_seconds": 0.102}]
    run.write_text("load.json", json.dumps({"history": "history/load.jsonl", "vllm_bench": bench}))
    return run


ENGINES_SAY = "the client's mean TTFT is 6.2 ms above the engines'"
_ERROR = Error(mean_seconds=66.9e-6, p50_seconds=6e-5, p95_seconds=132e-6, max_seconds=1e-3)
CALIBRATION = Calibration(
    host=Host.this(), at=datetime(2026, 1, 1, tzinfo=UTC), rate_per_second=20, max_tokens=64,
    requests=585, tokens_per_second=1252, workers=1, true_ttft_seconds=0.2, true_tpot_seconds=0.02,
    ttft=_ERROR, tpot=_ERROR, e2e=_ERROR, fit=True,
)  # fmt: skip
BENCH_SAYS = "median TTFT 100.00 ms, theirs 102.00 ms (+2.0%): agrees"


def rendered(name: str, run: RunDirectory) -> str:
    module: ReportFormat = importlib.import_module(f"reports.{name}")
    return module.render(run)


once = cache(rendered)
"""For the many tests that look at different places of one document."""


def test_formats_are_found_by_their_files() -> None:
    assert document_names() == FORMATS
    assert [importlib.import_module(f"reports.{name}").SUFFIX for name in FORMATS] == [
        ".html",
        ".json",
        ".junit.xml",
        ".md",
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_every_requirement(run: RunDirectory, name: str) -> None:
    text = once(name, run)

    assert all(row.id in text for row in run.results())


@pytest.mark.parametrize("name", FORMATS)
def test_run_without_results_can_be_reported(empty_run: RunDirectory, name: str) -> None:
    assert "acme" in rendered(name, empty_run)


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_what_a_target_said_is_no_markup(run: RunDirectory, name: str) -> None:
    text = once(name, run)

    assert "<script>alert" not in text
    assert "&lt;script" in text


def test_junit_counts_what_is_not_proven_as_error(run: RunDirectory) -> None:
    root = ElementTree.fromstring(once("junit", run))  # noqa: S314 - our own document

    counted = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "8", "failures": "1", "errors": "3", "skipped": "1"}
    assert len(root.findall(".//error")) == 3
    assert root.find(".//failure").get("message") == "assert 404"  # type: ignore[union-attr]


def test_json_is_strict_and_keeps_the_infinite(run: RunDirectory) -> None:
    document = json.loads(once("json", run), parse_constant=pytest.fail)

    fault = next(r for r in document["requirements"] if r["id"] == "FLT-POD-001")
    assert fault["cases"][0]["figures"] == {"recovery_seconds": "inf", "n": 3}
    assert document["run"]["conformance"] == "nonconformant"


def test_markdown_lists_the_worst_first(run: RunDirectory) -> None:
    ids = re.findall(r"\[([A-Z-]+\d{3})\]", once("markdown", run))

    assert ids == ["API-001", "GPU-001", "LIF-001", "LIF-002", "FLT-POD-001", "SCH-002", "GPU-005"]


def test_markdown_row_stays_one_row(run: RunDirectory) -> None:
    page, _, _ = once("markdown", run).partition("\n## ")
    table = [line for line in page.splitlines() if line.startswith("| ")]

    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in table)


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids |= {str(value) for name, value in attrs if name == "id"}
        names = {"href", "src"} if tag != "a" else {"href"}
        self.targets += [value for name, value in attrs if name in names and value]


def test_page_loads_nothing_and_its_links_exist(run: RunDirectory) -> None:
    page = Links()
    page.feed(once("html", run))

    within = {target[1:] for target in page.targets if target.startswith("#")}
    outside = [t for t in page.targets if not t.startswith(("#", "https://example.org"))]
    assert within
    assert within <= page.ids
    assert outside
    assert [target for target in outside if not run.path(target).exists()] == []


def test_page_shows_budget_and_fault_window(run: RunDirectory) -> None:
    text = once("html", run)

    assert '<td class="number">1.25 %</td>' in text
    assert "30 s from proven start to proven end" in text
    assert text.count("plotly.js v") == 1


def test_page_opens_with_what_the_run_amounts_to(run: RunDirectory) -> None:
    text = once("html", run)

    assert "<h1>acme is not conformant</h1>" in text
    assert "1 of 5 requirements broken: API-001. 2 of 5 could not be decided." in text


def test_page_says_whether_the_instrument_was_fit(run: RunDirectory) -> None:
    text = once("html", run)

    assert "sends late by 719 µs (median), 13.2 ms (p99), 31.3 ms (max)" in text
    assert re.search(r"sends late, p99</td>.*13.2 ms</td>.*10 ms</td>.*>tripped</td>", text)


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_cluster_and_machine_are_told(run: RunDirectory, name: str) -> None:
    text = once(name, run)

    assert "Kubernetes v1.36.3, 2 nodes" in text
    assert "2 engines of vllm/vllm-openai:v0.11" in text
    assert f"Linux {run.info().machine.kernel}" in text


@pytest.mark.parametrize("name", FORMATS)
def test_no_report_names_a_place_of_this_machine(run: RunDirectory, name: str) -> None:
    text = once(name, run)

    assert str(run.root) not in text
    assert "/root/secret-home" not in text
    assert "~/secret-home/target.yaml" in text or name in {"junit", "markdown"}


def test_places_of_a_run_that_was_moved_are_relative_too(run: RunDirectory) -> None:
    told = f"see /elsewhere/runs/{run.info().run_id}/logs/x.log, https://example.org/home/a/b"

    assert portable(told, run) == "see logs/x.log, https://example.org/home/a/b"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ttft_p95_seconds", 0.032290800000000004, "32.3 ms"),
        ("lag_p50_seconds", 0.00013, "130 µs"),
        ("took_effect_seconds", 1.464983522, "1.46 s"),
        ("outage_seconds", 0.0, "0 s"),
        ("longest_stall_seconds", 0.99996, "1 s"),
        ("span_seconds", 263.2, "4 min 23 s"),
        ("e2e_p95_seconds", float("inf"), "never"),
        ("error_ratio", 0.0056753688989784334, "0.568 %"),
        ("requests_touched", 1369, "1,369"),
        ("holds", True, "yes"),
        ("first_error_seconds", None, "-"),
    ],
)
def test_figures_have_three_digits_and_a_unit(name: str, value: object, text: str) -> None:
    assert shown(name, value) == text


def test_page_without_a_fault_carries_no_plotting_library(empty_run: RunDirectory) -> None:
    empty_run.append_result(result("API-001", Verdict.PASSED))

    assert len(rendered("html", empty_run)) < 20_000


def test_fault_window_runs_from_proven_start_to_proven_end(run: RunDirectory) -> None:
    assert window(run.events()) == FAULT


def test_lanes_tell_the_fault_from_the_rest(run: RunDirectory) -> None:
    drawn = figure(requests(), run.events())

    lanes = {trace.name: trace for trace in drawn.data}
    arrivals = dict(zip(lanes["arrivals"].x, lanes["arrivals"].y, strict=True))
    failing = [*lanes["connect"].x, *lanes["reset_midstream"].x]
    assert set(arrivals.values()) == {5.0}
    assert (min(arrivals), max(arrivals)) == (-59.5, 89.5)
    assert (min(failing), max(failing)) == (0.5, 29.5)
    assert list(lanes["ready endpoints"].y) == [2, 1, 2, 2]
    assert max(lanes["TTFT"].y) == 1.0
    assert (drawn.layout.shapes[0].x0, drawn.layout.shapes[0].x1) == pytest.approx((0, 30))


def test_labels_of_marks_that_lie_together_stand_one_above_the_other(run: RunDirectory) -> None:
    drawn = figure(requests(), run.events(), recovered_ns=FAULT[1])

    heights = {re.sub("<.*?>", "", note.text): note.yshift for note in drawn.layout.annotations}
    assert heights["injected"] != heights["took effect"]
    assert heights["over"] != heights["served as before"]


def test_latency_axes_leave_room_for_a_millisecond_and_for_a_second(run: RunDirectory) -> None:
    axis = figure(requests(), run.events()).layout.yaxis3

    assert axis.type == "log"
    assert list(axis.ticktext) == ["100 ms", "300 ms", "1 s"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_gates_calibration_and_cross_checks(
    witnessed_run: RunDirectory, name: str
) -> None:
    text = html.unescape(once(name, witnessed_run))

    assert ENGINES_SAY in text
    assert "13.2 ms" in text or "lateness_p99_seconds 0.01315 of 0.01" in text
    assert CALIBRATION.told() in text or '"requests": 585' in text
    assert BENCH_SAYS in text or '"theirs_seconds": 0.102' in text


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_whether_tokens_came_as_they_were_made(
    run: RunDirectory, name: str
) -> None:
    assert re.search(r'streamed(": "|" value="|:? )yes', once(name, run), re.IGNORECASE)


@pytest.mark.parametrize("name", ["html", "junit", "markdown"])
def test_readers_are_told_that_nobody_was_asked(run: RunDirectory, name: str) -> None:
    text = once(name, run)

    assert re.search(r'(Engines: |engines" value="|\| )not asked', text)
    assert "not calibrated" in text


def test_json_tells_structure_and_nothing_where_nobody_was_asked(
    witnessed_run: RunDirectory,
) -> None:
    fault, other = json.loads(once("json", witnessed_run))["loads"]

    assert (fault["name"], other["name"]) == ("FLT-POD-001", "load")
    assert fault["gates"][0]["holds"] is False
    assert fault["cross_check"]["requests_by_client"] == 650
    assert fault["calibration"]["ttft"]["mean_seconds"] == pytest.approx(66.9e-6)
    assert fault["figures"]["ttft_with_failures_p95_seconds"] == "inf"
    assert (other["gates"], other["calibration"], other["cross_check"]) == ([], None, None)


def test_junit_keeps_what_measured_a_load_with_its_case(witnessed_run: RunDirectory) -> None:
    root = ElementTree.fromstring(once("junit", witnessed_run))  # noqa: S314 - our own

    told = {
        suite.get("name"): {p.get("name"): p.get("value") for p in suite.iter("property")}
        for suite in root
    }
    fault = told["experiments.pods"]
    assert fault["FLT-POD-001: gate sends late, p99"] == "tripped: 13.2 ms, limit 10 ms"
    assert fault["FLT-POD-001: engines"] == f"agrees: {ENGINES_SAY}"
    assert told["loads"]["load: instrument"] == "not fit: it left no record"
    assert told["loads"]["load: vllm bench 1"] == BENCH_SAYS


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_latency_is_told_with_the_failures_too(run: RunDirectory, name: str) -> None:
    text = re.sub(r"(<[^>]+>|\|)+", " ", once(name, run))

    assert re.search(r"TTFT +100 ms +1 s +needs ≥ 1000", text)
    assert re.search(r"TTFT with failures +100 ms +never +needs ≥ 1000", text)


def test_page_says_that_an_instrument_left_no_record(witnessed_run: RunDirectory) -> None:
    assert "left no record of whether it was fit" in once("html", witnessed_run)


def test_a_history_that_grew_is_read_again(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path)
    first, second = (
        json.loads(rendered("json", run))["loads"][0]["figures"]["requests_scheduled"]
        for _ in range(2)
    )

    late = replace(requests()[-1], seq=750)
    with run.history_path("FLT-POD-001").open("a") as file:
        file.write(json.dumps(to_row(late)) + "\n")

    figures = json.loads(rendered("json", run))["loads"][0]["figures"]
    assert (first, second, figures["requests_scheduled"]) == (750, 750, 751)


@pytest.mark.parametrize("name", FORMATS)
def test_trouble_of_the_run_has_its_own_line_in_every_format(name: str, tmp_path: Path) -> None:
    run = write_sample_run(tmp_path)
    run.append_result(Result.of_run("teardown of stack", "ClusterError: nobody answered"))

    text = rendered(name, run)

    assert "nobody answered" in text
    assert "RUN" in text
    assert "teardown of stack" in text


def fault_run(folder: Path, *rounds: dict[str, float | str]) -> RunDirectory:
    """Return a run of one fault, once for each set of figures, under one load."""
    info = RunInfo.begin(command=("pytest",), target_name="acme", tool_version="0")
    run = RunDirectory.create(folder / "runs", info)
    for number, figures in enumerate(rounds, start=1):
        name = str(figures.get("record", "FLT-POD-001"))
        one = result("FLT-POD-001", Verdict.PASSED, case=f"test_it[{number}]")
        run.append_result(one.model_copy(update={"figures": figures}))
        for load in (name, "campaign"):
            text = "".join(json.dumps(to_row(row)) + "\n" for row in requests())
            run.history_path(load).write_text(text)
    return run


def test_page_shows_where_the_time_to_recovery_went(tmp_path: Path) -> None:
    figures: dict[str, float | str] = {
        "spent_detection_seconds": 1.5, "spent_loading_seconds": 12.5, "error_ratio": 0.0,
    }  # fmt: skip

    page = rendered("html", fault_run(tmp_path, figures))

    assert "Where the 14 s from the fault to its recovery went" in page
    assert "until as many endpoints were ready as before" in page
    assert "spent detection" not in page


def test_page_shows_each_round_once_and_the_common_load_not_at_all(tmp_path: Path) -> None:
    page = rendered("html", fault_run(tmp_path, {"x": 1.0}, {"record": "FLT-POD-001-r2"}))

    loads = re.findall(r"<h[23]>Load ([^<]+)</h[23]>", page)
    assert loads == ["FLT-POD-001", "FLT-POD-001-r2"]
