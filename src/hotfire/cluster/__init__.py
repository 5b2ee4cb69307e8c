"""The only door to Kubernetes; nothing else here imports its client."""

from hotfire.cluster.client import OWNER_LABEL, RUN_LABEL, Cluster, Document, Recorder
from hotfire.cluster.estate import Estate, Made, refuse_foreign_system
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
from hotfire.cluster.selectors import selects

__all__ = [
    "OWNER_LABEL",
    "RUN_LABEL",
    "Cluster",
    "Container",
    "Document",
    "EndpointAddress",
    "Estate",
    "ExecResult",
    "Followed",
    "Made",
    "Node",
    "Pod",
    "Recorder",
    "Taint",
    "refuse_foreign_system",
    "selects",
    "serving_endpoints",
]
