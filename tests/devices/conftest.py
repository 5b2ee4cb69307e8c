"""One idle NVIDIA GPU and an agent beside it; without such a GPU every check here is skipped."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.world import Agent
from tests.devices.witness import Gpu, apps, gpus


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these out unless `-m` names them: they fill a GPU that others may want."""
    if "device" in str(config.getoption("markexpr")):
        return
    unasked = [item for item in items if item.get_closest_marker("device")]
    items[:] = [item for item in items if item not in unasked]
    config.hook.pytest_deselected(items=unasked)


@pytest.fixture(scope="session")
def idle_gpu() -> Gpu:
    if not shutil.which("nvidia-smi"):
        pytest.skip("needs an NVIDIA GPU: there is no nvidia-smi")
    try:
        first, busy = gpus()[0], apps()
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).strip()
        pytest.skip(f"needs an NVIDIA GPU: nvidia-smi ended with {error.returncode}: {said}")
    if busy:
        pytest.skip(f"needs an idle GPU: these processes compute there: {busy}")
    return first


@pytest.fixture
def free_before(idle_gpu: Gpu) -> Iterator[int]:
    """Free MiB before the test; whatever that did, as much must be free again after it."""
    before = idle_gpu.free_mebibytes()
    yield before
    assert idle_gpu.is_free_within(before, seconds=20)


@pytest.fixture
def gpu(idle_gpu: Gpu, free_before: int) -> Gpu:
    """The GPU of a test; `free_before` guards it."""
    assert free_before > 0
    return idle_gpu


@pytest.fixture
def agent(gpu: Gpu, tmp_path: Path) -> Iterator[Agent]:
    """An agent that works on this machine itself, as root or not."""
    agent = Agent(tmp_path, prefix="env")
    agent.start()
    yield agent
    if agent.process.poll() is None:
        agent.end(signal.SIGTERM)
