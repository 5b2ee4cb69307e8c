"""Prometheus of the lab: what it is told to read, and the alerts it raises."""

import json
from pathlib import Path

from hotfire.lab.shape.topology import Role, Topology

_HERE = Path(__file__).parent
FILES = ("prometheus.yaml", "records.yaml", "alerts.yaml")


def config_map(topology: Topology) -> str:
    """Return the ConfigMap with Prometheus' configuration, as a document kubectl applies."""
    data = {name: (_HERE / name).read_text() for name in FILES}
    data["machines.json"] = json.dumps(_machines(topology), indent=1)
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "prometheus", "namespace": "monitoring"},
        "data": data,
    }
    return json.dumps(document)


def _machines(topology: Topology) -> list[dict[str, object]]:
    """Return the machines that Kubernetes does not know, as Prometheus' file discovery reads."""
    return [
        {
            "targets": [machine.address],
            "labels": {"node": machine.name, "role": machine.role.value},
        }
        for machine in topology.machines
        if machine.role is not Role.WORKER
    ]
