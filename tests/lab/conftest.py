"""One lab and one scripted stack for all tests that need them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fixtures.deployment import deploy, labelled, remove, render
from fixtures.stack import Stack
from hotfire.cluster import Cluster, Estate
from hotfire.lab import ensure_up
from hotfire.lab.lab import Lab
from hotfire.lab.shape.checkout import project_root
from hotfire.lab.shape.progress import Progress
from hotfire.profile import TargetProfile
from tests.world import World


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The standing lab; one that was not up before is taken down again, and must leave nothing."""
    found = Lab(project_root())
    stood = found.state.read() is not None
    ensure_up(print)
    yield found
    if not stood:
        found.down(Progress(print))
        assert found.leftovers() == []


@pytest.fixture(scope="session")
def scripted_target(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's target file for a stack of scripted engines that is there already."""
    document = yaml.safe_load(lab.state.target.read_text())
    document["kubeconfig"] = str(lab.state.kubeconfig)
    document["stack"] = {"deploy": False, "overlay": "scripted"}
    # Scripted engines keep to a schema; whether the lab's own do has not been seen. The others are
    # brought along by the twins of the checks that ask for them.
    document["claims"] += [
        "structured-output",
        "network-policies",
        "overload-refusal",
        "gpu-sharing",
        "node-autoscaling",
        "autoscaling",
    ]
    # Two engines that run 32 and let 8 wait.
    document["load"] = {"rate_per_second": 20.0, "max_tokens": 8, "most_at_once": 80}
    document["measurement"] |= {"slo_requests": 200}
    document["waits"] |= {"node_added_seconds": 60.0, "node_removed_seconds": 60.0}
    path = tmp_path_factory.mktemp("target") / "target.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="session")
def world(lab: Lab, scripted_target: Path) -> Iterator[World]:
    """The scripted stack, deployed once; defects break it and put it back."""
    profile = TargetProfile.read(scripted_target)
    cluster = Cluster.connect(profile)
    # Recorded elsewhere than what `hotfire` makes: its heal and its runs leave this stack alone.
    estate = Estate(cluster, "hotfire-tests", run_id="tests")
    estate.open()
    made = deploy(cluster, profile, estate, labelled(render(profile), "tests"))
    stack = Stack(cluster, profile)
    stack.wait_ready()
    yield World(cluster=cluster, profile=profile, stack=stack, rack=lab.rack)
    remove(cluster, profile, estate, made)
    estate.close()
