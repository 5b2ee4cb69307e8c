"""A CNCF submission claims what its requirements show, and its traps are seen before it is sent."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from hotfire import cli
from hotfire.cli.project import document_names, format_names
from hotfire.cli.report import write_reports
from hotfire.errors import ProfileError
from hotfire.evidence import Evidence
from hotfire.own_folders import project_root
from hotfire.requirement import Requirement
from hotfire.rundir import ClusterFacts, Result, RunDirectory, RunInfo
from hotfire.verdict import Verdict
from reports import cncf
from reports._cncf_check import folder_problems
from reports._cncf_items import checklists, items
from reports._cncf_readme import slug
from tests.sample_run import result

INFERENCE = "networking.ai_inference"
FACTS = {
    "vendorName": "Acme",
    "platformName": "Acme AI",
    "platformVersion": "1.10",
    "websiteUrl": "https://acme.example",
    "documentationUrl": "https://acme.example/docs",
    "productLogoUrl": "https://acme.example/logo.svg",
    "description": "It serves.",
    "contactEmailAddress": "a@acme.example",
    "k8sConformanceUrl": "https://github.com/cncf/k8s-conformance/tree/master/v1.36/acme",
}


def answering(
    id_: str, verdict: Verdict, item: str = INFERENCE, *, case: str = "test_it", reason: str = ""
) -> Result:
    """Return one case of a requirement that answers an item."""
    return result(id_, verdict, case=case, reason=reason).model_copy(update={"cncf": item})


def recorded(folder: Path, rows: Iterable[Result], version: str = "v1.36.3-gke.1") -> RunDirectory:
    """Write a run with some results."""
    info = RunInfo.begin(command=("hotfire", "certify"), target_name="Acme", tool_version="0.1.0")
    facts = ClusterFacts(version=version)
    run = RunDirectory.create(folder / "runs", info.model_copy(update={"cluster": facts}))
    for row in rows:
        run.append_result(row)
    return run


def everything() -> list[Result]:
    """Return a passed requirement for each item of the checklist, two for one of them."""
    names = [f"{c}.{n}" for c, levels in checklists()["1.36"].items() for n in levels]
    rows = [answering(f"X-{n:03}", Verdict.PASSED, name) for n, name in enumerate(names, start=1)]
    return [*rows, answering("Y-001", Verdict.PASSED), answering("Y-001", Verdict.PASSED, case="b")]


def written(run: RunDirectory, wanted: Iterable[Requirement] = ()) -> Path:
    """Write a run's submission beside it and return its folder."""
    for name, text in cncf.files(run, run.root, wanted).items():
        path = run.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return run.path(cncf.place(run))


def change(folder: Path, **metadata: object) -> None:
    """Fill in a submission as a vendor would."""
    path = folder / "PRODUCT.yaml"
    document = yaml.safe_load(path.read_text())
    document["metadata"] |= metadata
    for rows in document["spec"].values():
        for row in rows:
            row["description"] = "As the programme says."
    path.write_text(yaml.safe_dump(document))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return recorded(tmp_path, everything())


@pytest.fixture
def submission(run: RunDirectory) -> Path:
    """A submission to which nothing is left to do."""
    change(written(run), **FACTS)
    return written(run)


def product(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the items of a submission by id."""
    spec = yaml.safe_load((folder / "PRODUCT.yaml").read_text())["spec"]
    return {f"{category}.{row['id']}": row for category, rows in spec.items() for row in rows}


def test_folder_is_named_by_version_and_product_and_holds_five_files(submission: Path) -> None:
    assert submission.relative_to(submission.parents[1]).as_posix() == "v1.36/acme"
    assert {path.name for path in submission.iterdir()} == {
        "PRODUCT.yaml", "README.md", "junit.xml", "results.json", "e2e.log",
    }  # fmt: skip


def test_filled_in_submission_of_a_run_that_passed_has_no_problem(submission: Path) -> None:
    assert folder_problems(submission) == []
    assert {row["status"] for row in product(submission).values()} == {"Implemented"}
    assert "Nothing that can be checked offline." in (submission / "README.md").read_text()


def test_what_a_run_cannot_know_is_asked_for(run: RunDirectory) -> None:
    folder = written(run)

    problems = folder_problems(folder)
    page = (folder / "README.md").read_text()
    asked = {line.split()[2].rstrip(":") for line in problems if line.startswith("fill in")}
    assert asked == FACTS.keys() - {"platformName"}
    assert "14 descriptions to be taken over" in " ".join(problems)
    assert all(f"- fill in {name}" in page for name in asked)


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (["passed", "passed"], "Implemented"),
        (["passed", "failed"], "Partially Implemented"),
        (["failed", "failed"], "Not Implemented"),
        (["failed", "inconclusive"], "Not Implemented"),
        (["passed", "inconclusive"], ""),
        (["passed", "not-applicable"], "Partially Implemented"),
        (["not-applicable", "not-applicable"], "N/A"),
    ],
)
def test_every_requirement_behind_an_item_has_to_pass(
    tmp_path: Path, verdicts: list[str], status: str
) -> None:
    rows = [answering(f"X-00{n}", Verdict(word)) for n, word in enumerate(verdicts)]

    folder = written(recorded(tmp_path, rows))

    assert product(folder)[INFERENCE]["status"] == status


def left_out(tmp_path: Path, how: str) -> RunDirectory:
    """Write a run in which one of two requirements was not decided by anybody."""
    other = answering("X-002", Verdict.PASSED)
    skipped = answering("X-002", Verdict.INCONCLUSIVE, reason="not selected")
    rows = {"no line": [], "skipped": [skipped], "cut short": [other]}[how]
    made = recorded(tmp_path, [answering("X-001", Verdict.PASSED), *rows])
    if how == "cut short":
        made.write_plan([other.nodeid, f"{other.nodeid}_too"])
    return made


@pytest.mark.parametrize("how", ["no line", "skipped", "cut short"])
def test_a_requirement_left_out_leaves_its_item_undecided(tmp_path: Path, how: str) -> None:
    wanted = [answering("X-002", Verdict.PASSED).requirement]

    folder = written(left_out(tmp_path, how), wanted)

    claimed = product(folder)[INFERENCE]
    assert (claimed["status"], claimed["evidence"]) == ("", [])
    assert "1 of 2 requirements passed" in claimed["notes"]
    assert f"{INFERENCE}: a MUST has to be Implemented; it is not decided" in " ".join(
        folder_problems(folder)
    )


def test_requirements_are_counted_and_not_their_cases(submission: Path) -> None:
    root = ElementTree.parse(submission / "junit.xml").getroot()  # noqa: S314 - our own document
    told = json.loads((submission / "results.json").read_text())

    assert root.get("tests") == "15"
    assert len(root.findall(".//testcase")) == 15
    assert (told["counts"]["all"], told["counts"]["passed"]) == (15, 15)
    assert "15 of 15 requirements passed" in (submission / "README.md").read_text()


def test_anchors_lead_to_the_lines_that_tell_of_them(submission: Path) -> None:
    page = (submission / "README.md").read_text()
    lines = (submission / "e2e.log").read_text().splitlines()

    found = re.findall(r"\[([\w.-]+)\]\(e2e\.log#L(\d+)-L(\d+)\)", page)
    assert len(found) == 14 + 15
    assert all(f" {id_} " in lines[int(first) - 1] for id_, first, _ in found)
    assert slug(INFERENCE) == "networkingai_inference"


def test_log_tells_what_was_observed_and_nothing_from_beyond_the_run(tmp_path: Path) -> None:
    secret = tmp_path / "observations.jsonl"
    secret.write_text('{"name": "of another", "value": 1}\n')
    made = recorded(tmp_path, [])
    evidence = Evidence(made.evidence_dir("X-001", "test_it"))
    evidence.record("counted", {"stable": 300})
    files = (made.relative(evidence.files()[0]), "../../observations.jsonl")
    row = answering("X-001", Verdict.PASSED).model_copy(update={"evidence": files})
    made.append_result(row)

    text = (written(made) / "e2e.log").read_text()

    assert '        counted: {"stable": 300}\n' in text
    assert "of another" not in text


TRAPS = {
    "a version that is a number": ("platformVersion: '1.10'", "platformVersion: 1.10", "quotes"),
    "a version of another folder": ("kubernetesVersion: v1.36", "kubernetesVersion: v1.35", "must"),
    "an address without its scheme": ("websiteUrl: https://", "websiteUrl: ", "is no address"),
    "another programme's folder": ("tree/master/v1.36/acme", "blob/v1.36/acme", "must look like"),
    "a field that is missing": ("vendorName: Acme", "x: y", "vendorName is missing"),
    "a placeholder": ("vendorName: Acme", "vendorName: '[Vendor Name]'", "fill in vendorName"),
    "a status in other letters": ("status: Implemented", "status: implemented", "is none of"),
    "a MUST that does not apply": ("status: Implemented", "status: N/A", "has to be Implemented"),
    "a level of its own": ("level: MUST", "level: SHOULD", "must keep its level MUST"),
    "an item that is missing": ("id: ai_inference", "id: inference", "ai_inference is missing"),
    "an item that comes twice": ("id: gpu_sharing", "id: driver_runtime_management", "comes twice"),
    "an anchor in a file's name": ("- README.md", "- README.md#x", "leave it out"),
    "a file that is not there": ("- e2e.log", "- e2e.txt", "there is no such file"),
    "a file of somebody else": ("- e2e.log", "- ../e2e.log", "outside the folder"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_trap_in_the_product_file_is_seen(submission: Path, trap: str) -> None:
    right, wrong, told = TRAPS[trap]
    path = submission / "PRODUCT.yaml"
    text = path.read_text()

    path.write_text(text.replace(right, wrong))

    assert right in text
    assert told in " ".join(folder_problems(submission))


def test_line_that_moved_is_a_dead_link(submission: Path) -> None:
    path = submission / "e2e.log"
    path.write_text("one line more\n" + path.read_text())

    assert "tells of something else" in folder_problems(submission)[0]


def test_claim_beyond_its_requirements_is_seen(submission: Path) -> None:
    path = submission / "results.json"
    path.write_text(path.read_text().replace('"verdict": "passed"', '"verdict": "inconclusive"'))

    problem = f"{INFERENCE} is Implemented, and not all its requirements passed"
    assert problem in folder_problems(submission)


def test_what_a_vendor_filled_in_stays(tmp_path: Path) -> None:
    run = recorded(tmp_path, [answering("X-001", Verdict.PASSED)])
    folder = written(run)
    change(folder, **FACTS)
    text = (folder / "PRODUCT.yaml").read_text()
    (folder / "PRODUCT.yaml").write_text(text.replace("hotfire: ", "Of ours. hotfire: "))

    again = written(run)

    document = yaml.safe_load((again / "PRODUCT.yaml").read_text())
    assert document["metadata"].items() >= FACTS.items()
    assert product(again)[INFERENCE]["description"] == "As the programme says."
    assert product(again)[INFERENCE]["notes"].startswith("Of ours. hotfire: 1 of 1")


def test_item_behind_which_nothing_stands_is_the_vendors_to_claim(tmp_path: Path) -> None:
    run = recorded(tmp_path, [])
    folder = written(run)
    text = (folder / "PRODUCT.yaml").read_text()
    (folder / "PRODUCT.yaml").write_text(text.replace("status: ''", "status: Implemented"))

    again = written(run)

    assert product(again)["operator.robust_controller"]["status"] == "Implemented"
    assert f"{INFERENCE}: it names no evidence" in folder_problems(again)


def test_number_in_the_place_of_a_version_is_refused(run: RunDirectory) -> None:
    change(written(run), platformVersion=1.1)

    with pytest.raises(ProfileError, match=r"platformVersion 1\.1 is no text"):
        written(run)


def test_checklist_that_is_not_known_is_said_to_be_another(tmp_path: Path) -> None:
    folder = written(recorded(tmp_path, everything(), version="v1.37.0"))

    assert "this is that of v1.36" in (folder / "README.md").read_text()
    assert "the checklist of Kubernetes 1.37 is not known" in " ".join(folder_problems(folder))


def test_run_without_a_cluster_has_no_version_to_hand_in(tmp_path: Path) -> None:
    info = RunInfo.begin(command=("pytest",), target_name="acme", tool_version="0.1.0")
    run = RunDirectory.create(tmp_path, info)

    with pytest.raises(ProfileError, match="does not tell the version of Kubernetes"):
        items(run, [], None)


def test_a_run_is_told_in_documents_and_handed_in_when_asked_for(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(format_names()) - set(document_names()) == {"cncf"}

    assert cli.run(["report", str(run.root), "--format", "cncf"]) == 0

    told = capsys.readouterr().out
    assert f"{run.root}/v1.36/acme/PRODUCT.yaml" in told
    assert "left to do before submission:\n  fill in vendorName" in told


def test_a_folder_cannot_be_printed(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", str(run.root), "--format", "cncf", "--output", "-"]) == 254
    assert "cncf makes several files" in capsys.readouterr().err


def test_requirements_of_the_suites_that_a_run_left_out_are_counted(tmp_path: Path) -> None:
    run = recorded(tmp_path, [answering("GTW-002", Verdict.PASSED)])

    write_reports(run, ["cncf"], folder=tmp_path / "out")

    folder = tmp_path / "out" / cncf.place(run)
    assert product(folder)[INFERENCE]["status"] == ""
    assert "GTW-003 left out" in product(folder)[INFERENCE]["notes"]
    assert (project_root() / "suites").is_dir()
