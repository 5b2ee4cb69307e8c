"""Another tool's figures are compared by the same definition, and medians decide."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hotfire import cli
from hotfire.errors import ProfileError
from hotfire.measure.history import Request
from hotfire.traffic.witnesses.vllm_bench import (
    Compared,
    check_comparable,
    compare,
    measure,
    site_packages,
)
from hotfire.traffic.workload.plan import LoadPlan

S = 10**9
ROWS = [
    Request(
        seq=i, sched_ns=i * S, send_ns=i * S + S // 2, first_ns=i * S + 6 * S // 10,
        last_ns=i * S + 7 * S // 10, n_out=11, gaps_us=(10_000,) * 10,
    )
    for i in range(10)
]  # fmt: skip
THEIRS = {
    "mean_ttft_ms": 120.0, "median_ttft_ms": 101.0, "mean_tpot_ms": 10.0, "median_tpot_ms": 10.0,
    "median_itl_ms": 11.0,
}  # fmt: skip


def found() -> dict[str, Compared]:
    return {one.name: one for one in compare(ROWS, THEIRS)}


def test_their_ttft_is_compared_with_ours_from_the_sending() -> None:
    assert found()["median TTFT"].ours_seconds == pytest.approx(0.1)
    assert found()["median TTFT"].agrees


def test_a_median_that_differs_makes_doubt_and_a_mean_does_not() -> None:
    doubts = [name for name, one in found().items() if one.doubtful]

    assert doubts == ["median gap"]
    assert not found()["mean TTFT"].agrees
    assert "(+20.0%): differs" in found()["mean TTFT"].told()


def test_what_we_have_no_figure_of_is_not_comparable_and_makes_no_doubt() -> None:
    # One token an answer: no time per token; two tokens a read: half the gaps are nothing.
    rows = [replace(row, n_out=1, gaps_us=(0,)) for row in ROWS]

    by_name = {one.name: one for one in compare(rows, THEIRS)}

    for name in ("median TPOT", "median gap"):
        assert by_name[name].told().endswith("not comparable")
        assert not by_name[name].doubtful
    assert json.loads(json.dumps(by_name["median TPOT"].document(), allow_nan=False)) == {
        "name": "median TPOT", "ours_seconds": None, "theirs_seconds": 0.01,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("mode", {"mode": "closed"}),
        ("steps", {"steps": [{"rate_per_second": 1, "seconds": 2}]}),
        ("rate_end_per_second", {"rate_end_per_second": 9.0}),
        ("process", {"process": "trace", "trace": "a.jsonl"}),
        ("output_tokens", {"output_tokens": {"distribution": "lognormal"}}),
        ("prompts", {"prompts": {"prefix_ratio": 0.5}}),
        ("tenants", {"tenants": [{"name": "a"}]}),
        ("stream", {"stream": False}),
        ("connection", {"connection": "fresh"}),
        ("server_name", {"server_name": "llm.example"}),
        ("client_certificate", {"client_certificate": "/etc/client.pem"}),
    ],
)
def test_a_load_that_the_other_tool_cannot_send_is_refused(
    field: str, changes: dict[str, object]
) -> None:
    with pytest.raises(ProfileError, match=rf"^{field}: .*drop --cross-check$"):
        check_comparable(plan(**changes))


@pytest.mark.parametrize(
    ("changes", "burstiness"),
    [
        ({}, 1.0),
        ({"process": "gamma", "burstiness": 0.25}, 0.25),
        ({"process": "constant"}, math.inf),
    ],
)
def test_its_arrivals_are_spread_as_the_plans_are(
    changes: dict[str, object], burstiness: float, parts: Path
) -> None:
    check_comparable(plan(**changes))

    assert float(asked(plan(**changes), parts)["--burstiness"]) == burstiness


def test_lengths_headers_and_body_are_passed_on(parts: Path) -> None:
    told = asked(
        plan(
            input_words={"typical": 64},
            output_tokens={"distribution": "uniform", "least": 8, "most": 24},
            headers={"x-team": "a=b"},
            extra_body={"top_k": 1},
        ),
        parts,
    )

    assert (told["--random-input-len"], told["--random-output-len"]) == ("64", "16")
    assert json.loads(told["--random-range-ratio"]) == {"input": 0.0, "output": 0.5}
    assert json.loads(told["--extra-body"]) == {"top_k": 1}
    assert told["--header"] == "x-team=a=b"


def test_the_part_that_was_built_last_is_used(parts: Path) -> None:
    older = parts / "engine-zz" / "site-packages"
    (older / "vllm").mkdir(parents=True)
    os.utime(older, (1, 1))

    assert site_packages() == parts / "engine-aa" / "site-packages"


def test_the_command_refuses_it_before_anything_is_recorded(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--url", "http://127.0.0.1:1", "--model", "m", "--run-dir", str(tmp_path / "run")]

    code = cli.run(["load", *target, "--concurrency", "4", "--cross-check", "vllm-bench"])

    assert code == 254
    assert "mode: vllm bench serve cannot send that" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def plan(**changes: object) -> LoadPlan:
    return LoadPlan.model_validate({"url": "http://127.0.0.1:1", "model": "m", **changes})


STAND_IN = """
import json
def add_cli_args(parser):
    parser.parse_args = lambda words: dict(zip(words, words[1:]))
def main(told):
    with open(told["--result-filename"], "w") as file:
        json.dump(told, file)
"""


def asked(plan: LoadPlan, parts: Path) -> dict[str, str]:
    """Return each option that the tool is started with, and what follows it."""
    (parts / "engine-aa/site-packages/vllm/benchmarks/serve.py").write_text(STAND_IN)
    return measure(plan, 7, parts, network_namespace=None)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the lab's parts, with an engine and a model in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache" / "hotfire" / "parts"
    (folder / "engine-aa" / "site-packages" / "vllm" / "benchmarks").mkdir(parents=True)
    (folder / "model-aa").mkdir()
    (folder / "model-aa" / "tokenizer.json").touch()
    return folder
