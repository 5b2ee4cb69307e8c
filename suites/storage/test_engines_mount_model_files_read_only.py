"""Engines mount model files read-only.

The files are shared by all engines of a node, often of the whole cluster: one process that can
write them, by a bug or after a break-in, changes the answers of every other one at its next start.
"""

import json
from typing import Any

from fixtures.model_roots import roots
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from fixtures.within_engines import ANSWERED, WithinEngines
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError
from hotfire.waiting import until

pytestmark = requirement(
    "STO-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/storage/volumes/#read-only-mounts",
    scope=Scope.SMOKE,
)

# Looks for weights below some paths, and tries to write beside and into each of them, without
# changing a byte: a new file is removed at once, a file opened for writing is closed as it was.
TRY = """
import errno, json, os, sys, uuid
SURE, PERHAPS = (".safetensors", ".gguf"), (".bin", ".pt", ".pth", ".npz")
with open("/proc/self/mountinfo") as file:
    mounted = {line.split()[4] for line in file}
def is_weights(name, names):
    return name.endswith(SURE) or name.endswith(PERHAPS) and "config.json" in names
def weights(root):
    if os.path.isfile(root):
        yield from [root] * root.endswith(SURE)
    for folder, _, names in os.walk(root):
        yield from (os.path.join(folder, name) for name in names if is_weights(name, names))
def outcome(act, *words):
    try:
        act(*words)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "written"
def create(folder):
    path = os.path.join(folder, ".hotfire-" + uuid.uuid4().hex)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.unlink(path)
def reopen(path):
    os.close(os.open(path, os.O_WRONLY))
cache = os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface")
files = {os.path.realpath(path) for root in [*sys.argv[1:], cache] for path in weights(root)}
# The folder of a file that is a mount by itself is another file system.
folders = {os.path.dirname(path) for path in files - mounted}
tries = {path: outcome(reopen, path) for path in files}
print(json.dumps(tries | {path + "/": outcome(create, path) for path in folders}, sort_keys=True))
"""
REFUSED = {"EROFS", "EACCES", "EPERM"}
WRITTEN = "written"


def engine_containers(pod: Document, profile: TargetProfile) -> list[Document]:
    """Return the containers that serve: the named one, and whatever is of its image or has a GPU.

    Another one beside them may be what fills the cache, which has to write.
    """
    containers = pod["spec"]["containers"]
    images = {one["image"] for one in containers if one["name"] == profile.engine.container}
    return [
        one
        for one in containers
        if one["image"] in images
        or profile.accelerator.resource in ((one.get("resources") or {}).get("limits") or {})
    ]


def check_clear(tries: dict[str, str], where: str) -> None:
    """Raise unless there were weights, and each attempt was written or refused."""
    if not tries:
        raise HarnessError(
            f"{where}: no weights (*.safetensors, *.gguf, *.bin, *.pt) below its mounts, the paths "
            "its arguments name or the Hugging Face cache; an engine that streams its model from a "
            "store has no files to look at"
        )
    unclear = {path: end for path, end in tries.items() if end not in REFUSED | {WRITTEN}}
    if unclear:
        raise HarnessError(f"{where}: neither written nor refused: {unclear}")


def test_no_engine_container_can_write_the_weights(
    profile: TargetProfile,
    cluster: Cluster,
    stack: Stack,
    within_engines: WithinEngines,
    evidence: Evidence,
) -> None:
    writes: dict[str, dict[str, str]] = {}
    serves: dict[str, str] = {}
    unread = []
    for pod in stack.engines():
        document = cluster.get("Pod", pod.namespace, pod.name)
        if document is None or not pod.ready:
            unread.append(pod.name)
            continue
        for container in engine_containers(document, profile):
            where = f"{pod.name}/{container['name']}"
            name, words = container["name"], roots(container)
            said = within_engines.run(pod, TRY, *words, container=name)
            writes[where] = json.loads(said)
        serves[pod.name] = within_engines.answer(pod)
    evidence.record("writes", writes)
    evidence.record("serves", serves)

    assert writes or unread, f"{profile.namespace} has no {profile.engine.label_selector}"
    for where, ends in writes.items():
        written = [path for path, end in ends.items() if end == WRITTEN]
        assert not written, (
            f"{where} can write {', '.join(written)}; mount it with readOnly: true, or if it comes "
            "with the image, set readOnlyRootFilesystem"
        )
    for where, ends in writes.items():
        check_clear(ends, where)
    for name, answer in serves.items():
        assert answer == ANSWERED, f"{name} cannot write its model, yet does not serve: {answer}"
    if unread:
        raise HarnessError(f"not Ready, so nothing was tried in them: {', '.join(unread)}")


def test_same_attempt_writes_where_the_cache_is_filled(
    profile: TargetProfile, scratch: Scratch, evidence: Evidence
) -> None:
    fill = "mkdir /filled/model && echo weights > /filled/model/model.safetensors && sleep 600"
    volume: dict[str, Any] = {"name": "cache", "emptyDir": {}}
    mounts = [
        {"name": "cache", "mountPath": "/filled"},
        {"name": "cache", "mountPath": "/served", "readOnly": True},
    ]
    scratch.pod(
        "filler",
        argv=["sh", "-c", fill],
        spec_besides={"volumes": [volume]},
        container_besides={"volumeMounts": mounts},
    )
    scratch.wait_phase("filler", "Running")
    ends = {
        root: until(
            lambda: json.loads(scratch.exec("filler", ["python3", "-c", TRY, root])),  # noqa: B023
            within_seconds=profile.waits.injection_seconds,
            what=f"weights below {root}",
        )
        for root in ("/filled", "/served")
    }
    evidence.record("writes", ends)

    assert set(ends["/served"].values()) == {"EROFS"}, f"a read-only mount: {ends['/served']}"
    # Negative control: what finds no way to write in the engines must find one here.
    if set(ends["/filled"].values()) != {WRITTEN}:
        raise HarnessError(f"a mount that is meant to be written: {ends['/filled']}")
