"""One lab and one scripted stack for all tests that need them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hotfire.lab import ensure_up
from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.own_folders import project_root
from tests.scripted_stack import scripted, standing
from tests.world import World


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The standing lab; one that was not up before is taken down again, and must leave nothing."""
    found = Lab(project_root())
    stood = found.state.read() is not None
    ensure_up(print)
    yield found
    if not stood:
        found.down(Progress(print))
        assert found.leftovers() == []


@pytest.fixture(scope="session")
def scripted_target(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's target file for a stack of scripted engines that is there already."""
    document = scripted(lab)
    path = tmp_path_factory.mktemp("target") / "target.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="session")
def world(lab: Lab, scripted_target: Path) -> Iterator[World]:
    """The scripted stack, deployed once; defects break it and put it back."""
    with standing(lab, scripted_target) as found:
        yield found
