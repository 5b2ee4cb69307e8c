"""A node in miniature and an agent on it."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.world import Agent, Node


@contextmanager
def standing(folder: Path, name: str) -> Iterator[Node]:
    if os.geteuid() != 0 or not shutil.which("bird") or not shutil.which("nft"):
        pytest.skip("needs root, bird and nft")
    node = Node(f"hf-{name}-{os.getpid()}", folder)
    try:
        node.up()
        yield node
    finally:
        node.down()


@contextmanager
def serving(node: Node) -> Iterator[Agent]:
    agent = Agent(node.folder, prefix=node.prefix, birdc=node.birdc)
    agent.start()
    yield agent
    if agent.process.poll() is None:
        agent.end(signal.SIGTERM)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with standing(tmp_path, "test") as node:
        yield node


@pytest.fixture
def agent(node: Node) -> Iterator[Agent]:
    with serving(node) as agent:
        yield agent


@pytest.fixture
def inner(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent that lives in the node's network, as a pod of the host's network does."""
    agent = Agent(tmp_path, prefix="", birdc=node.birdc, inside=node.prefix)
    agent.start()
    yield agent
    if agent.process.poll() is None:
        agent.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent for many tests, none of which comes to do anything to its node."""
    with standing(tmp_path_factory.mktemp("node"), "still") as node, serving(node) as agent:
        yield agent
