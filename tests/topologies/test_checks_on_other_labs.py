"""Checks that need another lab than the usual one: a control plane of three members.

As in ``tests/lab/test_every_check_can_fail.py``, each passes there and fails on its broken twin;
`hotfire prove` takes them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hotfire.cli.prove import EVERYTHING_VARIABLE
from hotfire.cli.prove_matrix import ROWS_VARIABLE
from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import Topology
from hotfire.verdict import Verdict
from tests.lab.test_every_check_can_fail import (
    SUITES,
    Ran,
    broken,
    company_of,
    needs_other_lab,
    run,
)
from tests.scripted_stack import scripted, standing
from tests.world import World

pytestmark = pytest.mark.lab
taken_by_prove = pytest.mark.skipif(
    EVERYTHING_VARIABLE not in os.environ, reason="`hotfire prove` takes it"
)

TOPOLOGY = Topology(control_planes=3)
OTHERS = [suite for suite in SUITES if needs_other_lab(suite)]
CASES = [pytest.param(suite, id=suite.stem.removeprefix("test_")) for suite in OTHERS]


@pytest.fixture(scope="module")
def world(empty_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    empty_lab.up(TOPOLOGY, Progress(print))
    target = tmp_path_factory.mktemp("target") / "target.yaml"
    target.write_text(yaml.safe_dump(scripted(empty_lab)))
    with standing(empty_lab, target) as found:
        yield found


@pytest.fixture(scope="module")
def sound(world: World, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(OTHERS, world.target, tmp_path_factory.mktemp("sound"))


@taken_by_prove
@pytest.mark.parametrize("suite", CASES)
def test_check_passes_on_a_sound_platform(suite: Path, sound: Ran) -> None:
    found, reason = sound.verdict(suite)

    assert found is Verdict.PASSED, reason


@taken_by_prove
@pytest.mark.parametrize("suite", CASES)
def test_check_fails_on_its_broken_twin(suite: Path, world: World, tmp_path: Path) -> None:
    with broken(suite, world):
        found, reason = run([suite], world.target, tmp_path).verdict(suite)

    assert found is Verdict.FAILED, reason


@pytest.mark.parametrize("suite", CASES if ROWS_VARIABLE in os.environ else [])
def test_only_declared_companions_fall_with_a_twin(
    suite: Path, world: World, tmp_path: Path
) -> None:
    company = company_of(suite, OTHERS, world, tmp_path)

    assert company.holds, [line.plain for line in company.lines()]
