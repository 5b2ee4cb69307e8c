"""The only door to Kubernetes; nothing else here imports its client."""

from hotfire.cluster.client import RUN_LABEL, Cluster, Document, Recorder
from hotfire.cluster.execution import ExecResult
from hotfire.cluster.objects import (
    Container,
    EndpointAddress,
    Node,
    Pod,
    Taint,
    serving_endpoints,
)
from hotfire.cluster.outages import Followed

__all__ = [
    "RUN_LABEL",
    "Cluster",
    "Container",
    "Document",
    "EndpointAddress",
    "ExecResult",
    "Followed",
    "Node",
    "Pod",
    "Recorder",
    "Taint",
    "serving_endpoints",
]
