"""The only door to Kubernetes; nothing else here imports its client."""

from hotfire.cluster.calls import Document
from hotfire.cluster.client import Cluster, Recorder
from hotfire.cluster.credentials import lend_named, lend_secrets
from hotfire.cluster.door import Door
from hotfire.cluster.estate import Estate, Made, refuse_foreign_system
from hotfire.cluster.execution import ExecResult
from hotfire.cluster.marks import OWNER_LABEL, RUN_LABEL, UNDO_LABEL
from hotfire.cluster.node_selection import keys_that_select, selects_node, untolerated
from hotfire.cluster.objects import (
    Answer,
    Container,
    EndpointAddress,
    Node,
    Pod,
    Taint,
    serving_endpoints,
)
from hotfire.cluster.outages import Followed
from hotfire.cluster.owners import Owner, chain
from hotfire.cluster.placement import (
    labels_in_rules,
    pinned,
    rules_about_nodes,
    rules_among_stand_ins,
)
from hotfire.cluster.quantities import quantity
from hotfire.cluster.replicated import Replicated, as_scaled, replicated
from hotfire.cluster.scalable import BETWEEN, KINDS, SCALE, scaled_to
from hotfire.cluster.scalers import Scaler, scaler_of
from hotfire.cluster.selectors import selects

__all__ = [
    "BETWEEN",
    "KINDS",
    "OWNER_LABEL",
    "RUN_LABEL",
    "SCALE",
    "UNDO_LABEL",
    "Answer",
    "Cluster",
    "Container",
    "Document",
    "Door",
    "EndpointAddress",
    "Estate",
    "ExecResult",
    "Followed",
    "Made",
    "Node",
    "Owner",
    "Pod",
    "Recorder",
    "Replicated",
    "Scaler",
    "Taint",
    "as_scaled",
    "chain",
    "keys_that_select",
    "labels_in_rules",
    "lend_named",
    "lend_secrets",
    "pinned",
    "quantity",
    "refuse_foreign_system",
    "replicated",
    "rules_about_nodes",
    "rules_among_stand_ins",
    "scaled_to",
    "scaler_of",
    "selects",
    "selects_node",
    "serving_endpoints",
    "untolerated",
]
