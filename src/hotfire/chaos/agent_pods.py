"""The node agents as objects of a cluster: their code, their pods, and who asks them there."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hotfire.agent
from hotfire.agent import start
from hotfire.cluster import RUN_LABEL, Document
from hotfire.profile import TargetProfile

NAME: Final = "hotfire-agent"
LABELS: Final = {"app.kubernetes.io/name": NAME}
CODE_PATH: Final = "/opt/agent"
"""Where the agent's code lies in a pod of ours."""
_STATE: Final = "/var/lib/hotfire-agent"
_FOLDER: Final = Path(inspect.getfile(hotfire.agent)).parent


def manifests(profile: TargetProfile, *, run_id: str, fence: int = 0) -> list[Document]:
    """Return namespace, code and DaemonSet of the agent, which takes no order older than fence."""
    namespace = {
        "name": profile.system_namespace,
        "labels": {RUN_LABEL: run_id, "pod-security.kubernetes.io/enforce": "privileged"},
    }
    template = {"metadata": {"labels": LABELS}, "spec": _pod_spec(profile, fence)}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace},
        code(profile, run_id=run_id),
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": _place(profile, run_id),
            "spec": {
                "selector": {"matchLabels": LABELS},
                # Every node at once: the agents serve nobody whom a slow roll-out would protect.
                "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
                "template": template,
            },
        },
    ]


def code(profile: TargetProfile, *, run_id: str) -> Document:
    """Return the ConfigMap of the agent's code, which is the janitor's, too."""
    place = _place(profile, run_id)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": dict(_code())}


def _place(profile: TargetProfile, run_id: str) -> Document:
    labels = LABELS | {RUN_LABEL: run_id}
    return {"name": NAME, "namespace": profile.system_namespace, "labels": labels}


def _pod_spec(profile: TargetProfile, fence: int) -> Document:
    # Requests equal limits: a Guaranteed pod is the kernel's last choice when memory runs out.
    # A CUDA context alone takes several hundred MiB of host memory.
    memory = "128Mi" if profile.accelerator.memory == "host-cgroup" else "1Gi"
    amounts = {"cpu": "250m", "memory": memory}
    # Apart from those of other targets: an agent undoes whatever an earlier one left in its folder.
    state = f"{_STATE}/{profile.system_namespace}"
    return {
        "hostNetwork": True,
        "hostPID": True,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "tolerations": list(profile.agent.tolerations),
        "terminationGracePeriodSeconds": 30,
        "containers": [
            {
                "name": "agent",
                "image": profile.images.python,
                "command": [*program(), "serve", "--code", code_digest()],
                "args": ["--fence", str(fence), "--vacate", state],
                "env": [
                    {"name": "PYTHONPATH", "value": CODE_PATH},
                    {"name": "PYTHONUNBUFFERED", "value": "1"},
                ],
                "securityContext": {"privileged": True, "runAsUser": 0},
                "resources": {"requests": amounts, "limits": amounts},
                # What it says when it refuses to start is then read from the pod.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    mounted_code(),
                    {"name": "state", "mountPath": _STATE},
                ],
            }
        ],
        "volumes": [
            code_volume(),
            {"name": "state", "hostPath": {"path": state, "type": "DirectoryOrCreate"}},
        ],
    }


def mounted_code() -> Document:
    """Return where a container of ours finds the agent's code."""
    return {"name": "code", "mountPath": CODE_PATH}


def code_volume() -> Document:
    """Return the agent's code as a volume of a pod."""
    files = [{"key": key, "path": f"hotfire/agent/{key}"} for key, _ in _code()]
    return {"name": "code", "configMap": {"name": NAME, "items": files}}


def code_digest() -> str:
    """Return the SHA-256 of the agent's code as this hotfire has it."""
    return start.digest(_FOLDER)


def program() -> list[str]:
    """Return the words that start the agent's program, in a pod of ours, if it is that code."""
    return ["python3", "-c", inspect.getsource(start), CODE_PATH, code_digest()]


def _code() -> Iterator[tuple[str, str]]:
    """Yield name and text of each of the agent's modules."""
    for path in sorted(_FOLDER.glob("*.py")):
        yield path.name, path.read_text(encoding="utf-8")
