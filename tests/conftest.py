"""A scripted engine for the tests of one file, sound again after each of them."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.engine_process import EngineProcess, running_engine

# A shared machine stands still now and then, which says nothing about the code under test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Their assertions are about exact times, processor time or the kernel's own queues: they run one
# after the other, when nothing else of ours does.
ALONE = {
    "agent",
    *("test_arrival_times", "test_calibrate", "test_gates_trip", "test_live", "test_locustfile"),
    *("test_pump", "test_reactor", "test_reactor_cuts", "test_reactor_tls", "test_reader"),
    "test_rag_checks",
    *("test_surroundings", "test_trial", "test_truth"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ALONE & {item.path.stem, item.path.parent.name}:
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as engine:
        yield engine


@pytest.fixture
def engine(process: EngineProcess) -> Iterator[EngineProcess]:
    yield process
    process.script(misbehaviour="ok", every=1, times=0)
