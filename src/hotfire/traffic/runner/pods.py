"""Workers of a distributed load as pods of a Job, off the accelerators where that is possible.

Plan, clock and rows travel over Locust's connection, which the pods open: they must reach this
machine at ``load.pods.master_host``, and nothing has to reach them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotfire import text_files
from hotfire.cluster import RUN_LABEL, Cluster, Document, Estate
from hotfire.errors import ProfileError
from hotfire.load_pods import LoadPods
from hotfire.profile import TargetProfile
from hotfire.reference import read, variable
from hotfire.traffic.process.seal import VARIABLE, load_token
from hotfire.traffic.workload.plan import Fleet, LoadPlan
from hotfire.traffic.workload.secret import FOLDER_VARIABLE, named
from hotfire.waiting import until

NAME = "hotfire-load"
LABELS = {"app.kubernetes.io/name": NAME}
MARGIN_SECONDS = 300
_TOKEN_KEY = "token"  # noqa: S105 - the name of a field
_FOLDER = "/run/hotfire"
"""Where pods find the files of a TLS connection."""
SKEW = 5
"""Difference in pods between nodes that matters little to the scheduler. With 1 it counts a wish to
spread as much as one to stay off accelerators, and an empty accelerator node would win."""


def led_from_here(plan: LoadPlan, pods: LoadPods) -> LoadPlan:
    """Return the plan with its master here and its workers on pods."""
    fleet = Fleet(at="elsewhere", bind_host="0.0.0.0", bind_port=pods.master_port)  # noqa: S104
    return plan.model_copy(update={"fleet": fleet})


@contextmanager
def workers_on_pods(
    plan: LoadPlan, *, profile: TargetProfile, cluster: Cluster, run_id: str
) -> Iterator[None]:
    """Have the pods for the length of a block; they wait for the load's master to come up.

    At its end they are gone, so that none of them joins the next load. A plan whose workers run
    here needs no pods, and gets none.

    Raises:
        ProfileError: the target file does not say where pods find this machine, or the system
            namespace or a Job in it is not hotfire's.
        HarnessError: they are not gone in time.
    """
    if plan.fleet.at == "here":
        yield
        return
    if profile.load.pods is None:
        raise ProfileError("load.pods: required for workers in the cluster; give master_host")
    namespace = profile.system_namespace
    belongings = Estate(cluster, namespace, run_id=run_id)
    made_namespace = belongings.open()
    made: list[Document] = []
    try:
        document = job(plan, profile, profile.load.pods, run_id=run_id)
        secret = lent_secret(plan, profile, run_id=run_id)
        made += cluster.apply([secret, document], namespace=namespace)
        yield
    finally:
        for one in made:
            cluster.delete(
                one["kind"],
                namespace,
                NAME,
                uid=one["metadata"]["uid"],
                api_version=one["apiVersion"],
            )
        going = made_namespace and belongings.close()
        if made:
            until(
                lambda: (
                    not cluster.pods(namespace, LABELS)
                    and (not going or cluster.get("Namespace", None, namespace) is None)
                ),
                within_seconds=2 * profile.waits.pod_gone_seconds,
                what="the load's pods gone",
            )


def job(plan: LoadPlan, profile: TargetProfile, pods: LoadPods, *, run_id: str) -> Document:
    """Return the Job: as many pods as workers, none of them started twice."""
    last = plan.duration_seconds + plan.grace_seconds + plan.fleet.join_seconds + MARGIN_SECONDS
    labels = LABELS | {RUN_LABEL: run_id}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "namespace": profile.system_namespace, "labels": labels},
        "spec": {
            "parallelism": plan.workers,
            "completions": plan.workers,
            # A worker that was lost has made the load invalid; a new one could not mend it.
            "backoffLimit": 0,
            "activeDeadlineSeconds": round(last),
            "ttlSecondsAfterFinished": MARGIN_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(plan, profile, pods)},
        },
    }


def lent_secret(plan: LoadPlan, profile: TargetProfile, *, run_id: str) -> Document:
    """Return the Secret by which the pods and the load's master know each other.

    It holds what the gateway wants to see as well: the pods have neither our environment nor our
    files.

    Raises:
        ProfileError: something of that cannot be read here.
    """
    labels = LABELS | {RUN_LABEL: run_id}
    shown = {variable(name): read(name, field="gateway") for name in named(plan)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": profile.system_namespace, "labels": labels},
        "stringData": {_TOKEN_KEY: load_token(), **shown, **_files(plan)},
    }


def _files(plan: LoadPlan) -> dict[str, str]:
    """Return the contents of the plan's TLS files by their fields' names."""
    try:
        return {name: text_files.read(Path(path)) for name, path in plan.tls_files.items() if path}
    except (OSError, ValueError) as error:
        raise ProfileError(f"gateway: a file of its TLS cannot be read: {error}") from error


def _lent(plan: LoadPlan) -> list[Document]:
    """Return the environment variables that hand on what the Secret holds."""
    keys = {VARIABLE: _TOKEN_KEY} | {variable(name): variable(name) for name in named(plan)}
    from_secret = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": NAME, "key": key}}}
        for name, key in keys.items()
    ]
    folder = [{"name": FOLDER_VARIABLE, "value": _FOLDER}] if any(plan.tls_files.values()) else []
    return from_secret + folder


def _volumes(plan: LoadPlan, pods: LoadPods) -> tuple[list[Document], list[Document]]:
    """Return a pod's volumes, and where its container has them."""
    volumes: list[Document] = [
        {"name": f"library-{number}", "hostPath": {"path": path, "type": "Directory"}}
        for number, path in enumerate(pods.host_libraries)
    ]
    paths = list(pods.host_libraries)
    if files := [{"key": name, "path": name} for name, path in plan.tls_files.items() if path]:
        volumes.append({"name": "gateway", "secret": {"secretName": NAME, "items": files}})
        paths.append(_FOLDER)
    mounts: list[Document] = [
        {"name": volume["name"], "mountPath": path, "readOnly": True}
        for volume, path in zip(volumes, paths, strict=True)
    ]
    return volumes, mounts


def pod_spec(plan: LoadPlan, profile: TargetProfile, pods: LoadPods) -> Document:
    """Return one worker's pod. It asks for a core and has no CPU limit: a throttled clock lies."""
    environment = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if pods.host_libraries:
        environment["PYTHONPATH"] = ":".join(pods.host_libraries)
    command = ["python3", "-m", "hotfire.traffic.process.join", "--master-host", pods.master_host]
    volumes, mounts = _volumes(plan, pods)
    container: Document = {
        "name": "load",
        "image": pods.image,
        "command": [*command, "--master-port", str(pods.master_port)],
        "env": [
            *({"name": name, "value": value} for name, value in environment.items()),
            *_lent(plan),
        ],
        "resources": {"requests": {"cpu": pods.cpu, "memory": pods.memory}},
        "volumeMounts": mounts,
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": volumes,
        **placement(profile, pods),
    }


def placement(profile: TargetProfile, pods: LoadPods) -> dict[str, Any]:
    """Return where the pods go: off the accelerator nodes, and there one to a node if possible."""
    away = {
        "matchExpressions": [
            {"key": key, "operator": "NotIn", "values": [value]}
            for key, value in sorted(profile.accelerator.node_selector.items())
        ]
    }
    tolerations: list[Document] = []
    if pods.off_accelerators == "required":
        node: Document = {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [away]}
        }
    else:
        preferred = [{"weight": 100, "preference": away}]
        node = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
        tolerations = [{"key": profile.accelerator.taint_key, "operator": "Exists"}]
    spread = {
        "maxSkew": SKEW,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": LABELS},
    }
    return {
        "affinity": {"nodeAffinity": node},
        "tolerations": tolerations,
        "topologySpreadConstraints": [spread],
    }
