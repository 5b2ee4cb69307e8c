"""The queued jobs of the reference stack as processes of this machine, their queue a Redis."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hotfire import Endpoint
from hotfire.batches import Batch, Batches, answers
from hotfire.engine.jobs.resp import Redis
from hotfire.waiting import until
from tests.engine_process import running_engine
from tests.ports import free_port

NEEDS_REDIS = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="the queue is a redis-server, and there is none"
)
JOBS = tuple(f"job-{number}" for number in range(60))
LEASE_SECONDS = 1.0


@dataclass
class Application:
    """An API and a queue; workers come and go."""

    folder: Path
    engine: str
    stack: ExitStack
    queue: int = field(default_factory=free_port)
    redis: subprocess.Popen[bytes] = field(init=False)
    client: Batches = field(init=False)

    def __post_init__(self) -> None:
        self.start_queue()
        api = self.run("-m", "hotfire.engine.jobs.api", "0", stdout=subprocess.PIPE)
        assert api.stdout is not None
        self.url = f"http://127.0.0.1:{api.stdout.readline().split()[-1].decode()}"
        self.client = Batches(Endpoint(self.url, "tiny"), window="24h")

    def start_queue(self) -> None:
        words = ["--port", str(self.queue), "--dir", str(self.folder), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--bind", "127.0.0.1"]
        self.redis = self.stack.enter_context(
            killed(subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL))
        )
        until(self.answers, within_seconds=10, what="the queue answering")

    def answers(self) -> bool:
        # Another test's queue may have taken the port meanwhile, and would answer.
        assert self.redis.poll() is None, "the queue ended by itself"
        try:
            with Redis(f"127.0.0.1:{self.queue}", within_seconds=1) as redis:
                return bool(redis.ask("PING") == b"PONG")
        except OSError:
            return False

    def run(self, *words: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        told = {"QUEUE": f"127.0.0.1:{self.queue}", "ENGINE": self.engine}
        told |= {"LEASE_SECONDS": str(LEASE_SECONDS), "AT_ONCE": "4"}
        started = subprocess.Popen(
            [sys.executable, *words], stdout=stdout, env={**os.environ, **told}
        )
        return self.stack.enter_context(killed(started))

    def worker(self) -> subprocess.Popen[bytes]:
        return self.run("-m", "hotfire.engine.jobs.worker")

    def accepted(self, jobs: Sequence[str] = JOBS) -> Batch:
        batch = self.client.submit(jobs, max_tokens=8).batch
        assert batch
        return batch

    def now(self, batch: Batch) -> Batch:
        found = Batch.of(self.client.look(batch.name))
        assert found
        return found

    def await_answers(self, batch: Batch, count: int) -> Batch:
        until(
            lambda: self.now(batch).answered >= count,
            within_seconds=30,
            what=f"{count} answers",
            poll_seconds=0.05,
        )
        return self.now(batch)

    def results(self, batch: Batch) -> Counter[str]:
        contents = [self.client.content(file).content for file in batch.files]
        return Counter(one.job for content in contents for one in answers(content))


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def application(folder: Path) -> Iterator[Application]:
    """Run API and queue in front of an engine, without a worker yet."""
    with ExitStack() as stack:
        engine = stack.enter_context(running_engine("--ttft-seconds=0.02", "--tpot-seconds=0.01"))
        yield Application(folder, engine.url, stack)
