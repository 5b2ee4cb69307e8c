"""A node in miniature and an agent on it."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.world import Agent, Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    if os.geteuid() != 0 or not shutil.which("bird") or not shutil.which("nft"):
        pytest.skip("needs root, bird and nft")
    node = Node(f"hf-test-{os.getpid()}", tmp_path)
    try:
        node.up()
        yield node
    finally:
        node.down()


@pytest.fixture
def agent(node: Node, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path, prefix=node.prefix, birdc=node.birdc)
    agent.start()
    yield agent
    if agent.process.poll() is None:
        agent.end(signal.SIGTERM)


@pytest.fixture
def inner(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent that lives in the node's network, as a pod of the host's network does."""
    agent = Agent(tmp_path, prefix="", birdc=node.birdc, inside=node.prefix)
    agent.start()
    yield agent
    if agent.process.poll() is None:
        agent.end(signal.SIGTERM)
