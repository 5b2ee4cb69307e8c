"""``hotfire load`` measures, judges and says; whatever is asked wrongly is one line and 254."""

import json
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from hotfire import cli
from hotfire.cli import load_command
from hotfire.cli.load_order import LoadOptions, understood
from hotfire.errors import ProfileError
from hotfire.measure import history
from hotfire.traffic.wire.reader import COMPILED, PYTHON
from hotfire.traffic.workload.plan import LoadPlan
from tests.engine_process import EngineProcess
from tests.patience import PATIENT


def load(url: str, folder: Path, *options: str) -> int:
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"gates": PATIENT.model_dump()}))
    quick = ["--rate", "80", "--duration", "2", "--run-dir", str(folder / "run"), "--json"]
    quick += ["--plan", str(plan)]
    return cli.run(["load", "--url", url, "--model", "tiny", *quick, *options])


def told(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "run/load.json").read_text())
    return document


CLIENTS = get_args(LoadPlan.model_fields["client"].annotation)
READERS = (COMPILED.name if COMPILED else PYTHON.name, PYTHON.name, "geventhttpclient")
Kept = Callable[[str], tuple[int, Path]]


@pytest.fixture(scope="module")
def kept(process: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Return exit code and folder of a load by a client, run once, whose budget is kept."""

    @cache
    def by(client: str) -> tuple[int, Path]:
        folder = tmp_path_factory.mktemp(client)
        budget = ("--budget", "ttft_p95_seconds=5")
        return load(process.url, folder, "--client", client, *budget), folder

    return by


def test_a_kept_budget_is_exit_code_0(kept: Kept) -> None:
    code, folder = kept(CLIENTS[0])

    found = told(folder)
    assert (code, found["verdict"], found["doubts"]) == (0, "passed", [])
    assert [one["verdict"] for one in found["budgets"]] == ["passed"]


def test_the_history_is_packed_and_the_run_is_still_judged_and_reported(kept: Kept) -> None:
    _, folder = kept(CLIENTS[0])
    run = folder / "run"

    packed = history.load(run / "history/load.parquet")
    assert packed == history.load(run / "history/load.jsonl") != []
    assert cli.run(["judge", str(run)]) == 2  # a load by itself states nothing about conformance
    assert cli.run(["report", str(run), "--format", "markdown"]) == 0
    assert "TTFT" in (run / "report.md").read_text()


@pytest.mark.parametrize(("client", "reader"), list(zip(CLIENTS, READERS, strict=True)))
def test_every_client_of_a_plan_is_an_option(kept: Kept, client: str, reader: str) -> None:
    offered = get_args(get_type_hints(load_command.load)["client"])
    assert get_args(offered[0]) == CLIENTS

    _, folder = kept(client)

    plan = LoadPlan.read(folder / "run/history/load.plan.json")
    instrument = json.loads((folder / "run/history/load.instrument.json").read_text())
    assert (plan.client, instrument["measured"]["reader"]) == (client, reader)
    assert sum(row.complete for row in history.load(folder / "run/history/load.jsonl")) > 100


def test_an_installation_without_the_compiled_part_says_so(
    engine: EngineProcess,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hotfire.cli.load.implementation", lambda _: PYTHON)
    load(engine.url, tmp_path)
    assert "note: there was no C compiler" in capsys.readouterr().err


def test_a_broken_budget_is_exit_code_1(
    engine: EngineProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.script(misbehaviour="refuse", every=2)

    code = load(engine.url, tmp_path, "--budget", "error_ratio=0.1")

    output, found = capsys.readouterr(), told(tmp_path)
    assert (code, found["verdict"], found["doubts"]) == (1, "failed", [])
    assert json.loads(output.out)["budgets"] == found["budgets"]
    assert found["figures"]["ttft_with_failures_p95_seconds"] == "inf"
    assert "http_503" in output.err
    assert "The engine refuses by script" in output.err


def test_goodput_counts_what_the_budgets_promise(engine: EngineProcess, tmp_path: Path) -> None:
    load(engine.url, tmp_path, "--budget", "ttft_p95_seconds=0.001")

    assert told(tmp_path)["figures"]["goodput_ratio"] == 0


WHAT = {"usage_above": "limit", "usage_below": "stream"}


def test_an_answer_that_the_engine_gives_up_breaks_budgets(
    engine: EngineProcess, tmp_path: Path
) -> None:
    engine.script(misbehaviour="abort", every=2)

    code = load(engine.url, tmp_path, "--budget", "error_ratio=0.1", "--budget", "lost_streams=0")

    found = told(tmp_path)
    assert (code, list(found["failures"])) == (1, ["aborted"])
    assert [one["verdict"] for one in found["budgets"]] == ["failed", "failed"]


def test_tokens_that_a_buffer_held_back_keep_no_budget_of_their_pace(
    engine: EngineProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.script(misbehaviour="held_back")

    code = load(engine.url, tmp_path, "--budget", "tpot_p95_seconds=9")

    assert (code, told(tmp_path)["streamed"]) == (2, "no")
    assert "not observable" in capsys.readouterr().err


@pytest.mark.parametrize("lie", ["usage_above", "usage_below"])
def test_a_count_that_the_stream_contradicts_keeps_no_budget_of_the_pace(
    engine: EngineProcess, tmp_path: Path, lie: str
) -> None:
    engine.script(misbehaviour=lie)

    code = load(engine.url, tmp_path, "--budget", "tpot_p95_seconds=9")

    assert (code, list(told(tmp_path)["deviations"])) == (2, [f"{lie}_{WHAT[lie]}"])


def test_another_model_than_the_one_asked_for_is_told(
    engine: EngineProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.script(misbehaviour="wrong_model")

    code = load(engine.url, tmp_path, "--budget", "error_ratio=0.1")

    assert (code, list(told(tmp_path)["deviations"])) == (0, ["other_model"])
    assert "some-other-model answered, asked was tiny" in capsys.readouterr().err


def test_a_tripped_gate_is_exit_code_2_whatever_was_measured(
    engine: EngineProcess, tmp_path: Path
) -> None:
    engine.script(misbehaviour="refuse", every=2)
    plan = tmp_path / "unfit.json"
    plan.write_text(json.dumps({"gates": PATIENT.model_dump() | {"cpu_ratio": 1e-9}}))

    code = load(engine.url, tmp_path, "--budget", "error_ratio=0.1", "--plan", str(plan))

    assert (code, told(tmp_path)["verdict"]) == (2, "inconclusive")


def test_too_few_requests_for_a_budget_are_inconclusive(
    engine: EngineProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = load(engine.url, tmp_path, "--rate", "10", "--budget", "ttft_p95_seconds=5")

    assert code == 2
    assert "needs >= 100" in capsys.readouterr().err


def test_the_engines_own_count_is_asked_for(kept: Kept) -> None:
    _, folder = kept(CLIENTS[0])

    found = told(folder)["cross_check"]

    assert found["agreement"] == "agrees", found


def test_it_says_that_nobody_else_was_asked(
    engine: EngineProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.yaml").write_text(
        f"{{name: t, gateway: {{url: '{engine.url}'}}, engine: {{model: tiny}}, budgets: lab}}"
    )

    cli.run(["load", "--target", str(tmp_path / "t.yaml"), "--duration", "1", "--run-dir",
             str(tmp_path / "run")])  # fmt: skip

    assert "engines    not asked: --metrics URL\n" in capsys.readouterr().out


def test_a_port_where_nobody_listens_is_a_class_of_its_own(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        code = load(f"http://127.0.0.1:{unused.getsockname()[1]}", tmp_path)

    assert code == 2
    assert set(told(tmp_path)["failures"]) == {"connect"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "http://no-such.invalid", "--model", "m"], "does not resolve"),
        (["--url", "http://h/v1", "--model", "m"], "expected http://host"),
        (["--url", "ftp://h", "--model", "m"], "expected http://host"),
        (["--url", "http://127.0.0.1"], "needs --model"),
        (["--url", "http://h", "--target", "t.yaml"], "exclude each other"),
        (["--target", "no-such.yaml"], "no-such.yaml"),
        (["--url", "http://127.0.0.1", "--model", "m", "--steps", "5y3"], "RATExSECONDS"),
        (["--url", "http://127.0.0.1", "--model", "m", "--rate", "1e-9"], "no request"),
        (["--url", "http://127.0.0.1", "--model", "m", "--rate", "-1"], "rate_per_second"),
        (["--url", "http://127.0.0.1", "--model", "m", "--budget", "speed=1"], "no budget 'speed'"),
        (["--url", "http://127.0.0.1", "--model", "m", "--budget", "fast"], "mlperf"),
        (["--url", "http://127.0.0.1", "--model", "m", "--budget", "lost_streams=x"], "lost_"),
        (["--url", "http://127.0.0.1", "--model", "m", "--prompts", "/no/file"], "cannot be read"),
        (["--url", "http://127.0.0.1", "--model", "m", "--find-rate"], "needs a budget"),
        (["--url", "http://127.0.0.1", "--model", "m", "--process", "odd"], "process"),
        (["--url", "http://127.0.0.1", "--model", "m", "--metrics", "foo"], "--metrics: 'foo' is"),
        (["--url", "http://127.0.0.1", "--model", "m", "--metrics", "http://:80"], "no http or ht"),
        (["--url", "http://127.0.0.1", "--model", "m", "--metrics", "http://h:x"], "no http or ht"),
    ],
)
def test_bad_input_is_one_line_and_254(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["load", *options]) == 254

    complaint = capsys.readouterr().err
    assert words in complaint
    assert len(complaint.strip().splitlines()) == 1


SEARCH = ("--url", "http://127.0.0.1:9", "--model", "m", "--find-rate")


@pytest.mark.parametrize(
    "option",
    [
        ("--cross-check", "vllm-bench"),
        ("--metrics", "http://127.0.0.1:9/metrics"),
        ("--json",),
        ("--calibrate",),
        ("--ramp", "0"),
        ("--steps", "5x30"),
        ("--trace", "trace.jsonl"),
        ("--concurrency", "4"),
    ],
)
def test_an_option_that_a_search_cannot_follow_is_refused(
    option: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    budget = ("--budget", "ttft_p95_seconds=1", "--run-dir", str(run))

    assert cli.run(["load", *SEARCH, *budget, *option]) == 254

    complaint = capsys.readouterr().err
    assert f"--find-rate and {option[0]} exclude each other" in complaint
    assert "drop one" in complaint
    assert not run.exists()


@pytest.mark.parametrize(
    ("plan", "budget", "word"),
    [
        ({"rate_end_per_second": 9.0}, "ttft_p95_seconds=1", "rate_end_per_second"),
        ({"mode": "closed"}, "ttft_p95_seconds=1", "open-loop plan"),
        ({}, "lost_streams=1", "budgets: set a ttft"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_recorded(
    plan: dict[str, Any],
    budget: str,
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, run = tmp_path / "plan.json", tmp_path / "run"
    path.write_text(json.dumps(plan))
    options = ("--plan", str(path), "--budget", budget, "--run-dir", str(run))

    assert cli.run(["load", *SEARCH, *options]) == 254

    assert word in capsys.readouterr().err
    assert not run.exists()


def test_options_become_the_plan() -> None:
    order = LoadOptions(
        url="http://127.0.0.1", model="m", steps="5x10,2.5x20", seed=3, max_tokens=8, workers=2
    )

    plan = understood(order).plan

    assert [(step.rate_per_second, step.seconds) for step in plan.steps] == [(5, 10), (2.5, 20)]
    assert (plan.duration_seconds, plan.seed, plan.max_tokens, plan.workers) == (30, 3, 8, 2)
    assert (
        understood(LoadOptions(url="http://127.0.0.1", model="m", concurrency=4)).plan.mode
        == "closed"
    )


def test_a_recorded_plan_is_repeated_and_options_override_it(tmp_path: Path) -> None:
    path = tmp_path / "load.plan.json"
    first = understood(
        LoadOptions(url="http://127.0.0.1:1", model="m", rate=7.0, ramp=9.0, seed=3)
    ).plan
    path.write_text(first.model_copy(update={"nonce": "n"}).model_dump_json())

    again = understood(LoadOptions(plan=path)).plan
    shorter = understood(LoadOptions(plan=path, duration=5.0)).plan

    assert again == first.model_copy(update={"nonce": "n"})
    assert (shorter.duration_seconds, shorter.rate_end_per_second) == (5.0, 9.0)


@pytest.mark.parametrize("text", ["[1]", "{", '{"rate": 1}'])
def test_a_file_that_is_no_plan_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)

    with pytest.raises(ProfileError, match=r"rate|plan"):
        understood(LoadOptions(plan=path, url="http://127.0.0.1:1", model="m"))


def test_workers_elsewhere_need_a_token_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOTFIRE_LOAD_TOKEN", raising=False)
    plan = {"url": "http://127.0.0.1:1", "model": "m", "fleet": {"at": "elsewhere"}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    files = ["--plan", str(tmp_path / "plan.json"), "--run-dir", str(tmp_path / "run")]

    assert cli.run(["load", *files]) == cli.BAD_ARGUMENTS
    assert 'fleet.at: "elsewhere" needs HOTFIRE_LOAD_TOKEN' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_plan_that_names_a_field_twice_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.json").write_text('{"url": "http://a", "url": "http://b", "model": "m"}')

    assert cli.run(["load", "--plan", str(tmp_path / "plan.json")]) == cli.BAD_ARGUMENTS
    assert "'url' comes twice" in capsys.readouterr().err
