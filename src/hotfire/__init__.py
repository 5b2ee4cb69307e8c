"""Conformance and chaos checks for LLM serving on Kubernetes."""

from importlib import import_module
from typing import TYPE_CHECKING

from hotfire.requirement import Level, Requirement, Scope, requirement
from hotfire.verdict import Verdict

if TYPE_CHECKING:
    from hotfire.endpoint import Endpoint, Reply
    from hotfire.evidence import Evidence
    from hotfire.profile import TargetProfile
    from hotfire.rundir import RunDirectory

__all__ = [
    "Endpoint",
    "Evidence",
    "Level",
    "Reply",
    "Requirement",
    "RunDirectory",
    "Scope",
    "TargetProfile",
    "Verdict",
    "requirement",
]

# Loaded when first named: `hotfire --help` must not wait for an HTTP client.
_LATE = {
    "Endpoint": "hotfire.endpoint",
    "Evidence": "hotfire.evidence",
    "Reply": "hotfire.endpoint",
    "RunDirectory": "hotfire.rundir",
    "TargetProfile": "hotfire.profile",
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
