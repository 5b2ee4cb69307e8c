"""A fault whose runner was killed is undone, by `hotfire heal` or by the node itself."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hotfire.chaos.agent_client import AgentClient
from hotfire.lab import project_root
from hotfire.waiting import until
from tests.world import World

pytestmark = pytest.mark.lab


def events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "timeline.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # The last line may be half written.
            found.append(json.loads(line))
    return found


def cut_links(world: World) -> list[str]:
    tables = {node: world.rack.run(node, ["nft", "list", "tables"]) for node in ("n1", "n2", "n3")}
    return [node for node, text in tables.items() if "netdev hotfire" in text]


def test_killed_in_the_middle_of_a_silent_uplink_loss(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "hotfire", "certify", "--target", str(scripted_target)]
    argv += ["--only", "FLT-NET-001", "--run-dir", str(run)]
    with (tmp_path / "log").open("wb") as log:
        runner = subprocess.Popen(argv, cwd=project_root(), stdout=log, stderr=log)
    try:
        until(
            lambda: any(event["what"] == "took-effect" for event in events(run)),
            within_seconds=150,
            what="the fault in effect",
        )
    finally:
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait(10)
    assert cut_links(world) != []

    heal = [sys.executable, "-m", "hotfire", "heal", "--target", str(scripted_target)]
    done = subprocess.run(
        [*heal, "--keep-stack"], capture_output=True, text=True, timeout=200, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert cut_links(world) == []
    assert "undone" in done.stdout
    AgentClient(world.cluster, world.profile).remove()
    world.cluster.delete_namespace(world.profile.system_namespace)
