"""The agent of a node is the one that this hotfire brought, or it does not start."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hotfire.agent
from hotfire.agent import start
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.agent_pods import code_digest, manifests
from hotfire.cluster import Cluster
from hotfire.errors import ProfileError
from hotfire.profile import Images, TargetProfile
from tests.chaos.platform import SYSTEM
from tests.fake_api import FakeApi

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.fixture
def packages(tmp_path: Path, profile: TargetProfile) -> Path:
    """The agent's code as its ConfigMap brings it to a node."""
    code = next(one for one in manifests(profile, run_id="r") if one["kind"] == "ConfigMap")
    folder = tmp_path / "packages/hotfire/agent"
    folder.mkdir(parents=True)
    for name, text in code["data"].items():
        (folder / name).write_text(text)
    return tmp_path / "packages"


def container(profile: TargetProfile) -> dict[str, Any]:
    agents = next(one for one in manifests(profile, run_id="r") if one["kind"] == "DaemonSet")
    found: dict[str, Any] = agents["spec"]["template"]["spec"]["containers"][0]
    return found


def run(profile: TargetProfile, packages: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run what the pod runs, with the code at another place."""
    python, option, text, _, digest, *_ = container(profile)["command"]
    argv = [option, text, str(packages), digest, *words]
    assert python == "python3"
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, check=False, timeout=60, cwd="/"
    )


def test_the_pod_starts_the_program_from_the_code_it_was_made_for(
    profile: TargetProfile, packages: Path
) -> None:
    done = run(profile, packages, "--help")

    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


@pytest.mark.parametrize("name", ["operations.py", "another.py"])
def test_code_that_was_changed_or_added_does_not_start(
    profile: TargetProfile, packages: Path, name: str
) -> None:
    with (packages / "hotfire/agent" / name).open("a") as file:
        file.write("# edited in the cluster\n")

    done = run(profile, packages, "serve", "--state", str(packages / "state"))

    assert done.returncode == 1
    assert "does not start" in done.stderr
    assert not (packages / "state").exists()


def test_another_code_is_another_pod(profile: TargetProfile, packages: Path) -> None:
    folder = packages / "hotfire/agent"
    before = start.digest(folder)
    (folder / "hog.py").rename(folder / "hog2.py")

    assert before == code_digest() == start.digest(Path(hotfire.agent.__path__[0]))
    assert before in container(profile)["command"]
    assert start.digest(folder) != before


def test_an_image_pinned_by_digest_is_taken_as_it_is_and_told(
    profile: TargetProfile, cluster: Cluster, api: FakeApi
) -> None:
    image = f"mirror.example/python@{DIGEST}"
    pinned = profile.model_copy(update={"images": Images(python=image)})
    status = {"name": "agent", "imageID": f"mirror.example/python@{DIGEST}"}
    labels = {"app.kubernetes.io/name": "hotfire-agent"}
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "namespace": SYSTEM, "labels": labels},
            "spec": {"nodeName": "n1"},
            "status": {"phase": "Running", "containerStatuses": [status]},
        }
    )

    told = AgentClient(cluster, pinned).facts()

    assert container(pinned)["image"] == image
    assert told["pinned"] is True
    assert told["image_ids"] == {"n1": image}
    assert told["code_sha256"] == code_digest()


@pytest.mark.parametrize("image", ["python@sha256:0123", "python@latest", "python@", "py thon"])
def test_half_a_digest_is_refused_in_the_target_file(tmp_path: Path, image: str) -> None:
    path = tmp_path / "target.yaml"
    document = {
        "name": "t",
        "gateway": {"url": "http://10.0.0.1"},
        "engine": {"model": "tiny"},
        "images": {"python": image},
    }
    path.write_text(json.dumps(document))

    with pytest.raises(ProfileError, match=r"images\.python"):
        TargetProfile.read(path)
