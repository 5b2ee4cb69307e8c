"""A page about one load opens with the load's verdict, not with requirements nobody judged."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hotfire.rundir import RunDirectory, RunInfo
from reports import html as page
from reports import json as document
from reports import markdown
from tests.sample_run import write_sample_run

KEPT = {
    "name": "ttft_p95_seconds", "limit": 1.0, "measured": 0.25, "verdict": "passed",
    "reason": "ttft_p95_seconds: measured 0.25, limit 1: kept",
}  # fmt: skip
BROKEN = {
    "name": "e2e_p95_seconds", "limit": 2.0, "measured": "inf", "verdict": "failed",
    "reason": "e2e_p95_seconds: measured inf, limit 2: exceeded",
}  # fmt: skip
UNSURE = {
    "name": "tpot_p99_seconds", "limit": 0.1, "measured": None, "verdict": "inconclusive",
    "reason": "tpot_p99_seconds: 40 requests, a p99 needs 1000",
}  # fmt: skip
DOUBT = "cpu_ratio 0.91 of 0.6"
CASES = [
    ("passed", [KEPT], [], "acme kept its budgets: passed", "1 budget kept."),
    ("failed", [KEPT, BROKEN], [], "acme broke its budgets: failed", "1 of 2 budgets broken: e2e"),
    ("inconclusive", [KEPT, UNSURE], [], "acme is not proven to keep its budgets: inconclusive",
     "1 of 2 budgets undecided: tpot_p99_seconds: 40 requests"),
    ("inconclusive", [BROKEN], [DOUBT], "acme could not be judged: inconclusive", DOUBT),
    ("passed", [], [], "acme was measured; no budget was given", "No budget was given."),
]  # fmt: skip


def load_run(folder: Path, verdict: str, budgets: list[Any], doubts: list[str]) -> RunDirectory:
    """Return a run as ``hotfire load`` leaves it."""
    info = RunInfo.begin(command=("hotfire", "load"), target_name="acme", tool_version="0.1.0")
    run = RunDirectory.create(folder, info)
    told = {"verdict": verdict, "doubts": doubts, "budgets": budgets, "figures": {}}
    run.write_text("load.json", json.dumps(told))
    return run


@pytest.mark.parametrize(("verdict", "budgets", "doubts", "title", "lead"), CASES)
def test_pages_of_a_load_open_with_its_verdict(
    tmp_path: Path, verdict: str, budgets: list[Any], doubts: list[str], title: str, lead: str
) -> None:
    run = load_run(tmp_path, verdict, budgets, doubts)

    shown, text = html.unescape(page.render(run)), markdown.render(run)
    top = shown[shown.index("<header>") : shown.index("<dl>")]
    assert f"<h1>{title}</h1>" in top
    assert lead in top
    assert f'class="statement {verdict if budgets or doubts else ""}"' in top
    assert text.startswith(f"# {title}")
    assert lead in text
    assert json.loads(document.render(run))["headline"].startswith(title)
    assert not re.search(r"(not|No requirement was) (been )?judged", f"{shown} {text}")


def test_pages_of_a_load_show_each_budget(tmp_path: Path) -> None:
    run = load_run(tmp_path, "failed", [KEPT, BROKEN, UNSURE], [])

    shown, text = page.render(run), markdown.render(run)
    assert re.search(r'<tr class="failed"><td>end to end p95</td>.*\n.*never</td>', shown)
    assert "| **failed** | end to end p95 | 2 s | never |" in text
    assert "1 failed (end to end p95), 1 inconclusive (TPOT p99), 1 passed (TTFT p95)" in text


def test_pages_of_a_load_link_only_what_there_is(tmp_path: Path) -> None:
    run = load_run(tmp_path, "passed", [KEPT], [])

    links = re.findall(r'<a href="([^"#]+)"', page.render(run))
    assert links == ["load.json"]


def test_a_load_beside_requirements_leaves_the_statement_to_them(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path)
    run.write_text("load.json", json.dumps({"verdict": "passed", "budgets": [KEPT]}))

    assert "<h1>acme is not conformant</h1>" in page.render(run)


def test_a_load_that_did_not_come_to_its_end_has_no_verdict(tmp_path: Path) -> None:
    run = load_run(tmp_path, "passed", [KEPT], [])
    run.write_text("load.json", '{"verdict": ')

    assert "<h1>acme has not been judged</h1>" in page.render(run)
