"""Labs of other shapes than the usual one; each test module brings up its own."""

from collections.abc import Iterator

import pytest

from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.own_folders import project_root


@pytest.fixture(scope="module")
def empty_lab() -> Iterator[Lab]:
    """A lab that does not stand yet; whatever stands afterwards is taken down."""
    found = Lab(project_root())
    if found.state.read() is not None:
        pytest.skip("a lab stands, and there is room for one: `hotfire lab down` first")
    yield found
    found.down(Progress(print))
    assert found.leftovers() == []
