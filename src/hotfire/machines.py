"""Machines as faults reach them past the cluster, as the target file tells it."""

from pydantic import BaseModel

from hotfire.section import STRICT


class ControlPlane(BaseModel):
    """Machines of the control plane that are no nodes of the cluster, as faults reach them."""

    model_config = STRICT

    agents: dict[str, list[str]] = {}
    """By a machine's name the command that asks the node agent on it, such as one of ssh: the
    request, JSON, is added as its last word, and it prints the reply."""
    racks: dict[str, str] = {}
    """By a machine's name the rack that it stands in; nodes tell theirs by `fabric.rack_label`."""


class Power(BaseModel):
    """How nodes are switched off and on, past everything that runs on them."""

    model_config = STRICT

    cut: list[str] = []
    """Command that cuts a node's power and gives it back by itself, whatever becomes of whoever
    asked: the node's name and the seconds are added. Default: none."""
    restore: list[str] = []
    """Command that gives it back now, if it was cut: the node's name is added."""
