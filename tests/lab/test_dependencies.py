"""Engines take their model from the store, verified; Redis keeps what it is told."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from hotfire.errors import ClusterError
from hotfire.lab.lab import Lab
from hotfire.lab.machine import dependencies
from hotfire.waiting import until
from tests.world import World

pytestmark = pytest.mark.lab

CACHE = Path("lib/hotfire/model-cache")
NODES = ("n1", "n2", "n3")
REDIS = ["redis-cli", "-h", "10.0.0.110"]


@contextlib.contextmanager
def mode(lab: Lab, text: str) -> Iterator[None]:
    """Break the model store for the length of the block."""
    path = lab.rack.var("store") / Path(dependencies.MODE_FILE).relative_to("/var")
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()


@contextlib.contextmanager
def down(lab: Lab, service: str) -> Iterator[None]:
    lab.rack.hold("store", service)
    try:
        yield
    finally:
        lab.rack.release("store", service)


def empty_caches(lab: Lab) -> None:
    """Take the model from every node; the folders stay, for engines that run have them mounted."""
    for folder in [one for node in NODES for one in (lab.rack.var(node) / CACHE).glob("*")]:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def give_every_node_the_model(world: World, lab: Lab) -> None:
    """Copy the model from a node that has it; an engine may run without, if it was taken away."""
    world.stack.wait_ready()
    caches = {node: lab.rack.var(node) / CACHE / "tiny" for node in NODES}
    full = next(path for path in caches.values() if (path / "model.safetensors").exists())
    for path in set(caches.values()) - {full}:
        shutil.copytree(full, path, dirs_exist_ok=True)


def replace_engine(world: World) -> str:
    """Delete an engine and return the name of the pod that takes its place."""
    before = {pod.name for pod in world.stack.engines()}
    world.cluster.delete("Pod", world.profile.namespace, min(before), grace_seconds=0)

    def successors() -> set[str]:
        return {pod.name for pod in world.stack.engines()} - before

    until(lambda: len(successors()) == 1, within_seconds=30, what="an engine in its place")
    return successors().pop()


def said(world: World, pod: str) -> str:
    """Return what the engine's model cache has written so far."""
    with contextlib.suppress(ClusterError):  # Its container is not there yet.
        return world.cluster.logs(world.profile.namespace, pod, container="model-cache")
    return ""


def wait_said(world: World, pod: str, words: str) -> None:
    until(lambda: words in said(world, pod), within_seconds=60, what=f"{pod} saying {words!r}")


def ready(world: World, pod: str) -> bool:
    return any(each.name == pod and each.ready for each in world.stack.engines())


def test_manifest_has_the_checksums_of_the_stores_own_files(lab: Lab) -> None:
    ask = (
        "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"
    )
    url = "http://10.0.0.110:8080/models/tiny/manifest.json"
    text = lab.rack.run("client", ["/opt/hotfire/python/bin/python3", "-c", ask, url])
    files = json.loads(text)["files"]

    listed = lab.rack.run("store", ["sh", "-c", "cd /opt/hotfire/models/tiny && sha256sum *"])

    assert {(row["sha256"], row["path"]) for row in files} == {
        tuple(line.split()) for line in listed.splitlines()
    }
    assert "model.safetensors" in listed


def test_engines_nodes_hold_what_the_store_has(world: World, lab: Lab) -> None:
    for pod in world.stack.engines():
        held = lab.rack.var(pod.node) / CACHE / "tiny" / "model.safetensors"
        stored = lab.rack.run("store", ["sha256sum", "/opt/hotfire/models/tiny/model.safetensors"])

        assert hashlib.sha256(held.read_bytes()).hexdigest() == stored.split()[0]


def test_node_that_has_the_model_fetches_nothing(world: World, lab: Lab) -> None:
    give_every_node_the_model(world, lab)

    pod = replace_engine(world)

    wait_said(world, pod, ", 0 of them to fetch")
    world.stack.wait_ready()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        pytest.param(partial(mode, text="corrupt"), "refused, its SHA-256 is ", id="corrupt"),
        pytest.param(
            partial(down, service="model-store"),
            "Connection refused; next try in 2 s",
            id="down",
        ),
    ],
)
def test_engine_waits_for_a_sound_store_and_says_why(
    world: World, lab: Lab, broken: Callable[[Lab], AbstractContextManager[None]], words: str
) -> None:
    world.stack.wait_ready()
    with broken(lab):
        empty_caches(lab)
        pod = replace_engine(world)
        wait_said(world, pod, words)

        assert not ready(world, pod)
    wait_said(world, pod, "the cache is whole")
    give_every_node_the_model(world, lab)


def test_engine_with_a_whole_cache_starts_without_the_store(world: World, lab: Lab) -> None:
    give_every_node_the_model(world, lab)
    with down(lab, "model-store"):
        pod = replace_engine(world)
        wait_said(world, pod, "the cache is whole as of the last manifest and will do")
        world.stack.wait_ready()


def test_slow_store_delays_the_engine_and_no_more(world: World, lab: Lab) -> None:
    world.stack.wait_ready()
    with mode(lab, "slow 50000"):
        empty_caches(lab)
        pod = replace_engine(world)
        wait_said(world, pod, "the cache is whole")
        line = next(row for row in said(world, pod).splitlines() if "model.safetensors: " in row)
        size, seconds = int(line.split()[2]), float(line.split()[5])

        # A busy machine makes it slower still; nothing makes it faster than the store sends.
        assert size / seconds < 1.2 * 50_000
    give_every_node_the_model(world, lab)


def test_redis_answers_nodes_and_keeps_what_it_was_told(lab: Lab) -> None:
    lab.rack.run("n1", [*REDIS, "set", "hotfire", "kept"])
    with down(lab, "redis"):
        until(
            lambda: "refused" in lab.rack.run("n2", ["sh", "-c", f"{' '.join(REDIS)} ping 2>&1;:"]),
            within_seconds=10,
            what="Redis down",
        )

    until(
        lambda: "kept" in lab.rack.run("n2", ["sh", "-c", f"{' '.join(REDIS)} get hotfire 2>&1;:"]),
        within_seconds=20,
        what="what was told before the restart",
    )
