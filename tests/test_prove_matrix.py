"""``hotfire prove --matrix`` names every check that falls with a twin and should not."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from hotfire import cli, own_folders
from hotfire.cli.matrix import Company, Found, Row, keep, kept, table
from hotfire.terminal import Terminal
from hotfire.verdict import Verdict
from tests.lab.test_every_check_can_fail import ENTRIES, SUITES, company_of
from tests.world import World

SUITE = '''"""The target does {id}.

Who relies on it waits else.
"""
from hotfire import Level, requirement

pytestmark = requirement("{id}", Level.MUST, __doc__, source="https://x")

def test_it(): pass
'''
IDS = {"one": "TST-001", "two": "TST-002", "three": "TST-003"}
# Stands in for the tests on the lab: the twin of `one` fells `two` besides.
ON_THE_LAB = """
import os, pathlib, signal, pytest
from hotfire.cli.matrix import Found, Row, keep
from hotfire.verdict import Verdict

IDS = {ids}

@pytest.fixture
def broken():
    yield
    pathlib.Path("mended").touch()

@pytest.mark.lab
@pytest.mark.parametrize("name", IDS)
def test_only_declared_companions_fall_with_a_twin(name, broken):
    with open("tried", "a") as tried:
        tried.write(name + " ")
    {special}
    found = {{one: Found(verdict=Verdict.PASSED, reason="as stated") for one in IDS.values()}}
    fallen = [name, "two"] if name == "one" else [name]
    found |= {{IDS[one]: Found(verdict=Verdict.FAILED, reason="it broke") for one in fallen}}
    file = pathlib.Path(os.environ["HOTFIRE_PROVE_MATRIX"])
    keep(file, Row(twin=IDS[name], found=found, seconds=1))
"""
INTERRUPTED = "if name == 'two': os.kill(os.getppid(), signal.SIGINT); signal.pause()"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the checkout: three checks of one area, and their twins."""
    for name, id_ in IDS.items():
        write(tmp_path / f"suites/trial/test_{name}.py", SUITE.format(id=id_))
        write(tmp_path / f"tests/defects/{name}.py", "")
    write(tmp_path / "pytest.ini", "[pytest]\nmarkers = lab\naddopts = -p no:locust\n")
    monkeypatch.setattr(own_folders, "__file__", str(tmp_path / "src/hotfire/own_folders.py"))
    monkeypatch.setenv("HOTFIRE_PROVE_MATRIX", "")
    monkeypatch.setenv("COLUMNS", "200")
    on_the_lab(tmp_path)
    return tmp_path


def on_the_lab(root: Path, special: str = "") -> None:
    text = ON_THE_LAB.format(ids=IDS, special=special)
    write(root / "tests/lab/test_every_check_can_fail.py", text)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def declare(root: Path, text: str) -> None:
    write(root / "tests/defects/one.py", f"COMPANIONS = {text}\n")


def rows_of(root: Path) -> Path:
    [file] = (root / "runs").glob("matrix-*.jsonl")
    return file


def company(found: dict[str, Verdict], **declared: str) -> Company:
    said = {id_: Found(verdict=verdict, reason="so it is") for id_, verdict in found.items()}
    names = {name.replace("_", "-"): why for name, why in declared.items()}
    return Company(row=Row(twin="TST-001", found=said, seconds=61), declared=names)


def test_a_table_tells_who_fell_and_whether_it_was_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = company(
        {
            "TST-001": Verdict.FAILED,
            "TST-002": Verdict.FAILED,
            "TST-003": Verdict.FAILED,
            "TST-004": Verdict.PASSED,
            "TST-005": Verdict.INCONCLUSIVE,
            "TST-006": Verdict.NOT_APPLICABLE,
        },
        TST_002="both count the same pods",
    )

    Terminal(highlight=False).print(table("trial", [one]))

    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["trial", "001", "002", "003", "004", "005", "006", "seconds"]
    assert row.split() == ["TST-001", "X", "x", "!", ".", "?", "-", "61"]


def test_its_own_check_must_fail() -> None:
    for verdict in set(Verdict) - {Verdict.FAILED}:
        assert not company({"TST-001": verdict}).holds
    assert company({"TST-001": Verdict.FAILED}).holds
    assert not company({}).holds


def test_who_is_declared_and_stands_is_told_and_decides_nothing() -> None:
    found = {"TST-001": Verdict.FAILED, "TST-002": Verdict.PASSED}

    one = company(found, TST_002="both count the same pods")

    assert one.holds
    assert [line.plain for line in one.lines()][1:] == [
        "TST-002 is declared to fall with it, and passed"
    ]


def test_undeclared_companion_is_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["prove", "--matrix", "trial"]) == 1

    told = capsys.readouterr().out
    assert "TST-002 FAILED TOO, UNDECLARED: it broke" in told
    assert "2 of 3 twins fell their own check, and nobody undeclared" in told
    assert list(kept(rows_of(checkout))) == list(IDS.values())


def test_declared_companion_is_in_order(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(checkout, '{"TST-002": "Both count the same pods."}')

    assert cli.run(["prove", "--matrix", "TST-001"]) == 0

    told = capsys.readouterr().out
    assert "[1/1] the twin of TST-001 ..." in told
    assert "TST-002 falls with it: Both count the same pods." in told
    assert (checkout / "tried").read_text().split() == ["one"]


def test_declaration_without_a_reason_is_refused(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(checkout, '{"TST-002": ""}')

    assert cli.run(["prove", "--matrix"]) == cli.BAD_ARGUMENTS

    assert "one.py: COMPANIONS maps ids to one sentence each" in capsys.readouterr().err


def test_what_was_known_when_it_was_interrupted_is_printed_and_kept(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on_the_lab(checkout, INTERRUPTED)

    assert cli.run(["prove", "--matrix"]) == cli.CRASHED

    told = capsys.readouterr().out
    assert [line.split()[:4] for line in told.splitlines() if line.startswith("TST")] == [
        ["TST-001", "X", "!", "."]
    ]
    assert f"the rest: --resume {rows_of(checkout)}" in told
    assert list(kept(rows_of(checkout))) == ["TST-001"]
    assert (checkout / "mended").exists()


def test_matrix_that_was_interrupted_before_its_first_row_can_be_gone_on_with(
    checkout: Path,
) -> None:
    on_the_lab(checkout, INTERRUPTED)
    assert cli.run(["prove", "--matrix", "TST-002"]) == cli.CRASHED
    on_the_lab(checkout)

    assert cli.run(["prove", "--matrix", "TST-002", "--resume", str(rows_of(checkout))]) == 0

    assert list(kept(rows_of(checkout))) == ["TST-002"]


def test_rows_that_are_there_are_not_made_again(checkout: Path) -> None:
    file = checkout / "rows.jsonl"
    for id_, own in (("TST-002", Verdict.FAILED), ("TST-003", Verdict.INCONCLUSIVE)):
        found = {id_: Found(verdict=own, reason="earlier")}
        keep(file, Row(twin=id_, found=found, seconds=1))
    declare(checkout, '{"TST-002": "Both count the same pods."}')

    assert cli.run(["prove", "--matrix", "--resume", str(file)]) == 0

    assert (checkout / "tried").read_text().split() == ["one", "three"]
    assert kept(file)["TST-002"].found["TST-002"].reason == "earlier"


def test_twin_of_which_nothing_became_known_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on_the_lab(checkout, "assert name != 'three', 'it cannot be broken'")

    assert cli.run(["prove", "--matrix"]) == 1

    assert "the twin of TST-003: AssertionError: it cannot be broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume", "rows.jsonl"], "give both"),
        (["--matrix", "--resume", "none.jsonl"], "no such file of rows"),
        (["--matrix", "TST-009"], "no requirement or area"),
    ],
)
def test_what_cannot_be_is_refused(
    checkout: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["prove", *arguments]) == cli.BAD_ARGUMENTS

    assert said in capsys.readouterr().err
    assert not (checkout / "runs").exists()


def test_row_of_a_twin_has_every_check_of_its_area_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster is not there: nobody can find out, and for one it cannot even be prepared."""

    @contextmanager
    def unprepared(_world: World) -> Iterator[None]:
        raise LookupError("no such Deployment")
        yield

    def breaks_nothing(_world: World) -> AbstractContextManager[None]:
        return nullcontext()

    twins, file, target = "tests.defects.", tmp_path / "rows.jsonl", tmp_path / "target.yaml"
    monkeypatch.setattr(f"{twins}engines_mount_model_files_read_only.broken", breaks_nothing)
    for check in (
        "model_files_are_verified_before_loading",
        "engines_serve_the_production_revision",
    ):
        monkeypatch.setattr(f"{twins}{check}.prepared", unprepared, raising=False)
    monkeypatch.setenv("HOTFIRE_PROVE_MATRIX", str(file))
    target.write_text(
        f"{{name: acme, gateway: {{url: 'http://127.0.0.1:1'}}, engine: {{model: tiny}},"
        f" budgets: lab, kubeconfig: {tmp_path}/none}}"
    )
    [suite] = [path for path in SUITES if "engines_mount_model_files" in path.name]
    parts: dict[str, Any] = dict.fromkeys(("cluster", "profile", "stack", "rack"))

    made = company_of(suite, SUITES, World(**parts, target=target), tmp_path)

    assert kept(file) == {"STO-001": made.row}
    assert {one.verdict for one in made.row.found.values()} == {Verdict.INCONCLUSIVE}
    assert set(made.row.found) == {
        one.requirement.id for one in ENTRIES if "suites/storage/" in str(one.path)
    }
    assert "there is no file" in made.row.found["STO-004"].reason
    assert "cannot be prepared for it: LookupError" in made.row.found["STO-002"].reason
    assert not made.holds
