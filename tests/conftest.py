"""A scripted engine for the tests of one file, sound again after each of them."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.engine_process import EngineProcess, running_engine

# A shared machine stands still now and then, which says nothing about the code under test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as engine:
        yield engine


@pytest.fixture
def engine(process: EngineProcess) -> Iterator[EngineProcess]:
    yield process
    process.script(misbehaviour="ok", every=1, times=0)
