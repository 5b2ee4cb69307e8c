"""A scripted engine for the tests of one file, sound again after each of them."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.engine_process import EngineProcess, running_engine

# A shared machine stands still now and then, which says nothing about the code under test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Their assertions are about exact times, processor time or the kernel's own queues: each of these
# two groups runs its tests one after the other, beside no more than one test of the other group.
# One is about a node and its links, the other about the instrument; neither fills a core.
ALONE = {
    "agent": "node",
    **dict.fromkeys(
        (
            *("test_arrival_times", "test_calibrate", "test_gates_trip", "test_live"),
            *("test_locustfile", "test_pump", "test_reactor", "test_reactor_cuts"),
            *("test_reactor_tls", "test_reader", "test_surroundings", "test_truth"),
        ),
        "instrument",
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = ALONE.get(item.path.stem) or ALONE.get(item.path.parent.name)
        if group:
            item.add_marker(pytest.mark.alone)
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as engine:
        yield engine


@pytest.fixture
def engine(process: EngineProcess) -> Iterator[EngineProcess]:
    yield process
    process.script(misbehaviour="ok", every=1, times=0)
