"""The toy of SCH-011: workers step together, and begin again together when one is replaced."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.training import RENDEZVOUS, WORKER, Step
from hotfire.waiting import until
from tests.ports import free_port


@dataclass(frozen=True, slots=True)
class Toy:
    """Processes in the place of pods, and the steps that the rendezvous tells of."""

    address: str
    log: Path

    @contextmanager
    def worker(self, rank: int, **env: str) -> Iterator[None]:
        """Have a worker; a new one, each time."""
        env = {**os.environ, "JOB_COMPLETION_INDEX": str(rank), **env}
        argv = [sys.executable, "-S", "-c", WORKER, self.address]
        with subprocess.Popen(argv, env=env) as process:
            try:
                yield
            finally:
                process.kill()

    def steps(self, run: int) -> list[Step]:
        rows = [Step(**json.loads(line)) for line in self.log.read_text().splitlines()]
        return [one for one in rows if one.run == run]

    def first_of(self, run: int, *, as_far_as: int = 0) -> int:
        """Wait until a run has come as far as a step; return the step that it began with."""
        until(
            lambda: [one for one in self.steps(run) if one.step >= as_far_as],
            within_seconds=60,
            what=f"step {as_far_as} of run {run}",
        )
        return self.steps(run)[0].step


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    port, log = free_port(), tmp_path / "log"
    argv = [sys.executable, "-S", "-c", RENDEZVOUS, str(port), "2"]
    with log.open("wb") as out, subprocess.Popen(argv, stdout=out) as process:
        try:
            yield Toy(f"http://127.0.0.1:{port}", log)
        finally:
            process.kill()


@pytest.mark.parametrize("keeps", [True, False])
def test_a_replaced_worker_has_everybody_begin_with_what_was_kept(toy: Toy, keeps: bool) -> None:
    env = {"CHECKPOINTS": toy.address} if keeps else {}

    with ExitStack() as workers:
        workers.enter_context(toy.worker(0, **env))
        with toy.worker(1, **env):
            assert toy.first_of(2, as_far_as=10) == 0
        workers.enter_context(toy.worker(1, **env))
        again = toy.first_of(3)

    kept = toy.steps(2)[-1].kept
    assert kept >= 10
    assert again == (kept if keeps else 0)
