"""The CronJob of deploy/ runs in a real cluster and leaves a judged run on its volume.

What the lab cannot have is changed before: there is no registry and no package index, so that the
image is one of our own with hotfire's wheel in it, and the libraries are those of the node.
"""

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotfire.doctor.roles import NAMESPACE
from hotfire.lab.cluster.kube import Kubectl
from hotfire.lab.lab import Lab
from hotfire.lab.shape.topology import GATEWAY_ADDRESS
from hotfire.own_folders import project_root
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict
from hotfire.waiting import until
from tests.lab.test_printed_roles import hotfire
from tests.saved_image import save
from tests.scripted_stack import scripted
from tests.test_installed import NO_PART, pip
from tests.world import World

pytestmark = pytest.mark.lab

Document = dict[str, Any]
IMAGE, NODE, VOLUME = "example.com/hotfire:1", "n1", "/var/lib/hotfire-runs"
# The gateway is asked, and the API server.
CHECKS = ("API-001", "SCH-005")
# Of the lab alone: programs and links of the host's.
OF_THE_HOST = ("kubeconfig", "control_plane", "power", "fabric", "alerts", "claims")
ENVIRONMENT = {
    "PATH": "/opt/hotfire/python/bin:/usr/bin:/bin",
    "LD_LIBRARY_PATH": "/opt/hotfire/python/lib",
    "PYTHONPATH": "/srv/hotfire:/opt/libraries",
    "PYTHONDONTWRITEBYTECODE": "1",
}
LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}


@pytest.fixture
def kubectl(lab: Lab) -> Kubectl:
    return lab.kubectl()


@pytest.fixture
def image(world: World, tmp_path: Path) -> None:
    """An image that has hotfire, as its wheel installs it, on every worker."""
    del world
    shutil.copytree(project_root(), tmp_path / "source", ignore=NO_PART)
    pip("wheel", "--no-build-isolation", "-w", str(tmp_path), str(tmp_path / "source"))
    [wheel] = tmp_path.glob("hotfire-*.whl")
    pip("install", "--target", str(tmp_path / "site"), "--no-compile", str(wheel))
    archive = tmp_path / "image.tar"
    variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    save(archive, IMAGE, layer(tmp_path / "site"), Env=variables)
    done = hotfire("lab", "load-image", str(archive))
    assert f"{IMAGE} is on every worker" in done.stdout, done.stderr


def layer(site: Path) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, target in LINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        tar.add(site, "srv/hotfire")
    return written.getvalue()


@pytest.fixture
def volume(lab: Lab, kubectl: Kubectl) -> Iterator[Path]:
    """A place of one node that becomes the claimed volume; as the host sees it."""
    lab.rack.run(NODE, ["mkdir", "-p", VOLUME])
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    spec = {
        "capacity": {"storage": "20Gi"},
        "accessModes": ["ReadWriteOnce"],
        "claimRef": {"namespace": NAMESPACE, "name": "runs"},
        "local": {"path": VOLUME},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    metadata = {"name": "hotfire-runs"}
    document = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}
    kubectl.apply_text(yaml.safe_dump(document))
    yield lab.rack.inside(NODE, VOLUME)
    kubectl.run("delete", "persistentvolume", "hotfire-runs")
    lab.rack.run(NODE, ["rm", "-rf", VOLUME])


@pytest.fixture
def cron_job(lab: Lab, kubectl: Kubectl, image: None, tmp_path: Path) -> Iterator[str]:
    """The account, the target and the CronJob, as docs/nightly.md says."""
    del image
    document = scripted(lab)
    seen = tmp_path / "seen.yaml"
    seen.write_text(yaml.safe_dump(document))
    target = tmp_path / "target.yaml"
    target.write_text(yaml.safe_dump(as_a_pod_sees(document)))
    roles = hotfire("doctor", "--target", str(seen), "--rbac", "--scope", "full").stdout
    path = tmp_path / "roles.yaml"
    path.write_text(roles)
    kubectl.apply(path)
    try:
        words = (f"--namespace={NAMESPACE}", "create", "configmap", "hotfire-target")
        kubectl.run(*words, f"--from-file={target}")
        kubectl.apply_text(yaml.safe_dump_all(map(fitted, deployed())))
        yield "hotfire"
    finally:
        kubectl.run("delete", "--ignore-not-found", f"--filename={path}", within_seconds=120)


def as_a_pod_sees(document: Document) -> Document:
    changed = {name: one for name, one in document.items() if name not in OF_THE_HOST}
    changed["gateway"] = {"url": f"http://{GATEWAY_ADDRESS}", "class_name": "envoy"}
    return changed | {"prometheus_url": "http://prometheus.monitoring"}


def deployed() -> list[Document]:
    text = (project_root() / "deploy" / "nightly.yaml").read_text()
    return list(yaml.safe_load_all(text))


def fitted(document: Document) -> Document:
    """Return an object of deploy/ as a cluster without registry and with GPU nodes only has it."""
    if document["kind"] != "CronJob":
        return document
    pod = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    del pod["initContainers"]
    pod["tolerations"] = [{"operator": "Exists"}]
    volumes = {one["name"]: one for one in pod["volumes"]}
    volumes["program"] = {"name": "program", "hostPath": {"path": "/opt/hotfire/tool"}}
    pod["volumes"] = list(volumes.values())
    [container] = pod["containers"]
    container["image"] = IMAGE
    container["args"][-2:] = ["--scope", "full", *(w for id_ in CHECKS for w in ("--only", id_))]
    container["env"] = [one for one in container["env"] if one["name"] != "PYTHONPATH"]
    container["resources"]["requests"]["cpu"] = "100m"
    for mount in container["volumeMounts"]:
        if mount["name"] == "program":
            mount |= {"mountPath": "/opt/libraries", "readOnly": True}
    return document


def ended(kubectl: Kubectl) -> Document | None:
    """Return how the container of the only run ended; None: it has not."""
    [pod] = kubectl.items("pods", f"--namespace={NAMESPACE}", "--selector=app=hotfire") or [{}]
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    over: Document | None = statuses[0].get("state", {}).get("terminated")
    return over


def test_the_cron_job_of_a_night_leaves_a_judged_run_on_its_volume(
    kubectl: Kubectl, volume: Path, cron_job: str
) -> None:
    kubectl.run(f"--namespace={NAMESPACE}", "create", "job", f"--from=cronjob/{cron_job}", "first")

    over = until(
        lambda: ended(kubectl), within_seconds=420, what="the first run over", poll_seconds=1.0
    )

    said = kubectl.run(f"--namespace={NAMESPACE}", "logs", "job/first", "--tail=60")
    [folder] = [one for one in (volume / "runs").iterdir() if not one.is_symlink()]
    judged = [one for one in RunDirectory.open(folder).results() if not one.skipped_by_operator]
    assert {one.id: one.verdict for one in judged} == dict.fromkeys(CHECKS, Verdict.PASSED), said
    # Conformant in what was asked for, or inconclusive for what was not.
    assert over, said
    assert over["exitCode"] in {0, 2}, said
    assert (folder / "report.html").is_file()
