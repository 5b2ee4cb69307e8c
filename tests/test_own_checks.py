"""A folder of the operator's own is taken beside our suites and experiments, by the same rules."""

import json
import re
from pathlib import Path

import pytest

from hotfire import cli
from hotfire.cli.certify import CertifyOptions
from hotfire.own_folders import project_root
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.verdict import Verdict

pytest_plugins = ["pytester"]

CHECK = "suites/api/test_answers_have_ids_of_their_own.py"
FAULT = "experiments/pods/kill-an-engine.yaml"
OUR_FAULT = "experiments/pods/kill-one-engine.yaml"
TARGET = """\
name: acme
gateway: {url: http://127.0.0.1:1}
engine: {model: tiny}
budgets: lab
"""
ENDPOINT = """\
import pytest
from types import SimpleNamespace

@pytest.fixture
def endpoint():
    answers = iter(range(10))
    def complete(prompt, max_tokens):
        return SimpleNamespace(ok=True, body={"id": f"cmpl-{next(answers) // PER_ID}"})
    return SimpleNamespace(complete=complete)
"""
OURS = '''"""A stream ends.

Clients hang.
"""
from hotfire import Level, requirement

pytestmark = requirement("API-003", Level.MUST, __doc__, source="https://x")

def test_it(evidence):
    evidence.record("x", 1)
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of docs/own-checks.md, with the check as it stands there, and a fault."""
    page = (project_root() / "docs" / "own-checks.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    fault = (project_root() / OUR_FAULT).read_text(encoding="utf-8")
    for name, text in ((CHECK, code), (FAULT, fault.replace("FLT-POD-001", "ACME-002"))):
        path = tmp_path / "checks" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "checks"


def test_own_checks_and_faults_are_listed_with_ours(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.run(["list", "--json", "--suites", str(own)])

    found = {each["id"]: each for each in json.loads(capsys.readouterr().out)}
    assert code == 0
    assert found["ACME-001"]["file"] == str(own / CHECK)
    assert (found["ACME-002"]["kind"], found["ACME-002"]["area"]) == ("fault", "pods")
    assert found["FLT-POD-001"]["file"] == OUR_FAULT


def test_own_check_is_explained(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["explain", "ACME-001", "--suites", str(own)])

    told = capsys.readouterr().out
    assert code == 0
    assert "Every answer has an id of its own." in told
    assert str(own / CHECK) in told
    assert "not shown: no defect twin yet" in told


@pytest.mark.parametrize("command", [["list"], ["explain", "ACME-001"]])
def test_id_that_is_ours_is_refused_in_one_line(
    own: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (own / CHECK).write_text((own / CHECK).read_text().replace("ACME-001", "API-001"))

    code = cli.run([*command, "--suites", str(own)])

    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (cli.BAD_ARGUMENTS, 1)
    assert "API-001 is decided by both suites/" in told
    assert str(own / CHECK) in told


def test_folder_without_any_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.run(["certify", "--suites", str(tmp_path)])

    assert (code, capsys.readouterr().err) == (
        cli.BAD_ARGUMENTS,
        f"hotfire: --suites: {tmp_path} holds neither suites/AREA/test_*.py nor"
        " experiments/AREA/*.yaml\n",
    )


def test_run_that_is_gone_on_with_takes_them_again(own: Path) -> None:
    order = CertifyOptions(suites=own)
    info = RunInfo.begin(
        command=("hotfire", "certify", *order.words()), target_name="acme", tool_version="1"
    )

    assert CertifyOptions.of(info) == order


@pytest.mark.parametrize(("per_id", "verdict"), [(1, Verdict.PASSED), (2, Verdict.FAILED)])
def test_check_of_the_page_is_judged_beside_ours(
    pytester: pytest.Pytester, own: Path, per_id: int, verdict: Verdict
) -> None:
    project(pytester)
    (own / "conftest.py").write_text(f"PER_ID = {per_id}\n{ENDPOINT}")

    judge(pytester, own)

    run = RunDirectory.open(pytester.path / "runs" / "latest")
    found = {result.id: result for result in run.results()}
    assert {id_: each.verdict for id_, each in found.items()} == {
        "API-003": Verdict.PASSED,
        "ACME-001": verdict,
    }
    assert (found["ACME-001"].kind, found["ACME-001"].area) == ("check", "api")
    assert [e.what for e in run.events()].count("case-started") == 2


@pytest.mark.parametrize(
    ("name", "id_", "twice"),
    [
        ("test_another.py", "API-003", "API-003"),
        ("test_stream.py", "API-004", "suites/api/test_stream.py"),
    ],
)
def test_what_has_the_id_or_the_name_of_ours_is_refused_before_anything_runs(
    pytester: pytest.Pytester, own: Path, name: str, id_: str, twice: str
) -> None:
    project(pytester)
    (own / "suites" / "api" / name).write_text(OURS.replace("API-003", id_))

    told = judge(pytester, own)

    assert f"{twice} is checked by both suites/api/test_stream.py and /" in told.stderr.str()


def test_only_suites_are_collected_of_ones_own_folder(pytester: pytest.Pytester, own: Path) -> None:
    project(pytester)
    (own / "test_of_ones_own.py").write_text("def test_it(): assert False")
    (own / "conftest.py").write_text(f"PER_ID = 1\n{ENDPOINT}")

    told = judge(pytester, own)

    told.assert_outcomes(passed=2)


def test_file_that_is_called_like_ours_is_refused_in_one_line(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / FAULT).rename(own / OUR_FAULT)

    code = cli.run(["list", "--suites", str(own)])

    assert (code, capsys.readouterr().err) == (
        cli.BAD_ARGUMENTS,
        f"hotfire: --suites: {OUR_FAULT} is hotfire's own: give yours another name\n",
    )


def project(pytester: pytest.Pytester) -> None:
    """Make a project of one check, with settings of its own."""
    pytester.makefile(".yaml", target=TARGET)
    pytester.makepyprojecttoml(
        '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib -p no:locust"'
    )
    path = pytester.path / "suites" / "api" / "test_stream.py"
    path.parent.mkdir(parents=True)
    path.write_text(OURS)


def judge(pytester: pytest.Pytester, own: Path) -> pytest.RunResult:
    folders = ("suites", str(own), "-c", str(pytester.path / "pyproject.toml"))
    return pytester.runpytest_inprocess(
        "-p", "hotfire.pytest_plugin", "--target", "target.yaml", *folders, "--suites", str(own)
    )
