"""A scripted engine for the tests of one file, sound again after each of them."""

import gc
from collections.abc import Generator, Iterator
from pathlib import Path

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
    *("test_arrival_times", "test_calibrate", "test_canary", "test_gates_trip", "test_live"),
    *("test_embedding_judgements", "test_locustfile"),
    *("test_pump", "test_reactor", "test_reactor_cuts", "test_reactor_tls", "test_reader"),
    "test_rag_checks",
    *("test_surroundings", "test_trial", "test_truth"),
}
LAB = {"lab", "topologies"}
_LEFT_OUT = ((ALONE, "not alone"), (LAB, "not lab"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files unread that ``-m`` leaves out as a whole: each worker would read them all."""
    asked = config.getoption("markexpr")
    if not collection_path.match("test_*.py") or " or " in asked:
        return None
    names, terms = {collection_path.stem, collection_path.parent.name}, asked.split(" and ")
    unasked = any(names & marked and term in terms for marked, term in _LEFT_OUT)
    return True if unasked or ("alone" in terms and not names & ALONE) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector pass over what is collected: all of it stays to the end.

    It would look through some hundred thousand objects of modules and tests again and again.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = {item.path.stem, item.path.parent.name}
        if names & ALONE:
            item.add_marker(pytest.mark.alone)
        if names & LAB:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as engine:
        yield engine


@pytest.fixture
def engine(process: EngineProcess) -> Iterator[EngineProcess]:
    yield process
    process.script(misbehaviour="ok", every=1, times=0)
