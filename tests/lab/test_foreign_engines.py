"""Engines that nobody here wrote are judged by what they do, not by what we expected of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from hotfire.lab.lab import Lab
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Verdict
from tests.lab.test_every_check_can_fail import ROOT, run
from tests.lab.test_printed_roles import SHORT_LOOK, hotfire, is_sound
from tests.overlays import engines_of
from tests.scaled import extended
from tests.world import World

pytestmark = [pytest.mark.lab, pytest.mark.add_on]

# Of each kind that smoke has: an answer, the engine's own page, its files, its pod, its death.
LOOKED_AT = {"API-001", "OBS-009", "STO-001", "LIF-009", "FLT-POD-001"}
NOTHING_WRONG = {Verdict.PASSED, Verdict.NOT_APPLICABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """An engine, and what is true of it that a check tells."""

    kind: str
    """Its add-on is called the same."""
    overlay: str
    lacks: Mapping[str, tuple[Verdict, str]] = field(default_factory=dict)
    """By requirement the verdict, and words of its reason."""


SIMULATOR = Foreign(kind="llm-d-inference-sim", overlay="llm-d-sim")
LLAMA_CPP = Foreign(
    kind="llama-cpp",
    overlay="llama-cpp",
    lacks={
        "API-001": (Verdict.FAILED, "answered 500 to b'{'"),
        "OBS-009": (Verdict.INCONCLUSIVE, "tell no kv use"),
    },
)


@pytest.fixture(scope="module", params=[SIMULATOR, LLAMA_CPP], ids=lambda one: one.kind)
def foreign(request: pytest.FixtureRequest, lab: Lab, world: World) -> Iterator[Foreign]:
    """The stack with other engines; builds them where the cache lacks them."""
    del lab
    found: Foreign = request.param
    extended(found.kind)
    with engines_of(world, found.overlay):
        yield found


@pytest.fixture
def target(foreign: Foreign, scripted_target: Path, tmp_path: Path) -> Path:
    """Their target file, with a short look before and after a fault."""
    document = yaml.safe_load(scripted_target.read_text())
    document["engine"] |= {"kind": foreign.kind}
    document["measurement"] |= SHORT_LOOK
    path = tmp_path / "target.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def told(results: list[Result]) -> dict[str, list[tuple[Verdict, str]]]:
    """Return by requirement what was found wrong, or stayed open for no noise of the machine."""
    found: dict[str, list[tuple[Verdict, str]]] = {}
    for one in results:
        if one.verdict in NOTHING_WRONG or (one.kind == "fault" and is_sound(one)):
            continue
        found.setdefault(one.id, []).append((one.verdict, one.reason))
    return found


def test_smoke_tells_what_is_true_of_it_and_nothing_else(
    foreign: Foreign, target: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = ["--target", str(target), "--run-dir", str(folder)]

    done = hotfire("certify", "--scope", "smoke", *words)

    judged = [one for one in RunDirectory.open(folder).results() if not one.skipped_by_operator]
    found = told(judged)
    assert {one.id for one in judged} >= LOOKED_AT, done.stdout + done.stderr
    assert found.keys() == foreign.lacks.keys(), found
    for id_, (verdict, reason) in foreign.lacks.items():
        assert [one for one in found[id_] if one[0] is not verdict or reason not in one[1]] == []


@pytest.mark.parametrize("foreign", [SIMULATOR], indirect=True)
def test_answer_that_nobody_reads_and_that_it_writes_to_its_end_is_told(
    foreign: Foreign, target: Path, tmp_path: Path
) -> None:
    del foreign
    suite = ROOT / "suites/api/test_disconnect_frees_the_engine.py"

    verdict, reason = run([suite], target, tmp_path).verdict(suite)

    assert verdict is Verdict.FAILED, reason
    assert "still ran" in reason
