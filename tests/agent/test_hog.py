"""Filling a real memory cgroup: the kernel must kill the engine in it, never the hog."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hotfire.waiting import until
from tests.agent.world import ENTRY, Agent

LIMIT_BYTES = 64 << 20
POD = "11111111-2222-3333-4444-555555555555"
# Stands for the engine: it owns memory, waits, and is not protected.
ENGINE = "held = bytearray(24 << 20); import signal; signal.pause()"


class Container:
    """A memory cgroup like a container's, with one process in it."""

    def __init__(self, name: str) -> None:
        v1 = Path("/sys/fs/cgroup/memory")
        self.id = f"{name}-container"
        self.root = (v1 if v1.is_dir() else Path("/sys/fs/cgroup")) / name
        self.path = self.root / f"pod{POD}" / self.id
        self.path.mkdir(parents=True)
        limit = "memory.limit_in_bytes" if v1.is_dir() else "memory.max"
        (self.path / limit).write_text(str(LIMIT_BYTES))
        self.engine = subprocess.Popen([sys.executable, "-c", ENGINE])
        (self.path / "cgroup.procs").write_text(str(self.engine.pid))
        Path(f"/proc/{self.engine.pid}/oom_score_adj").write_text("900")

    def remove(self) -> None:
        self.engine.kill()
        self.engine.wait(10)
        for path in (self.path, self.path.parent, self.root):
            until(partial(_removed, path), within_seconds=10, what=f"{path} removed")


def _removed(path: Path) -> bool:
    with suppress(OSError):
        path.rmdir()
    return not path.exists()


@pytest.fixture
def container() -> Iterator[Container]:
    if os.geteuid() != 0:
        pytest.skip("cgroups need root")
    try:
        container = Container(f"hotfire-test-{os.getpid()}")
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield container
    container.remove()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path)
    agent.start()
    yield agent
    if agent.process.poll() is None:
        agent.end(signal.SIGTERM)


def hog(agent: Agent, container: Container, *, ttl_seconds: float = 30) -> Any:  # noqa: ANN401
    ids = {"pod_uid": POD, "container_id": container.id}
    return agent.call("cgroup.hog", id=ENTRY, ttl_seconds=ttl_seconds, **ids)


def test_the_engine_is_killed_and_the_hog_leaves_by_itself(
    agent: Agent, container: Container
) -> None:
    hog(agent, container)

    until(container.engine.poll, within_seconds=20, what="the engine killed")
    until(
        lambda: agent.call("entry", id=ENTRY)["state"] == "healed",
        within_seconds=10,
        what="the hog gone",
    )

    observed = agent.call("entry", id=ENTRY)["observed"]
    assert container.engine.returncode == -signal.SIGKILL
    assert observed["oom"] is True
    # On a busy machine the hog may be killed after the engine: two kills then.
    assert observed["oom_kills"] > observed["oom_kills_before"]


def test_a_container_of_another_pod_is_refused(agent: Agent, container: Container) -> None:
    reply = agent.reply(
        "cgroup.hog", id=ENTRY, ttl_seconds=5, pod_uid="another", container_id=container.id
    )

    assert "no memory cgroup" in reply["error"]
    assert agent.call("list") == []


def test_a_container_without_a_limit_is_refused(agent: Agent, container: Container) -> None:
    v1 = container.path / "memory.limit_in_bytes"
    v1.write_text("-1") if v1.exists() else (container.path / "memory.max").write_text("max")

    reply = agent.reply(
        "cgroup.hog", id=ENTRY, ttl_seconds=5, pod_uid=POD, container_id=container.id
    )

    assert "no memory limit" in reply["error"]
