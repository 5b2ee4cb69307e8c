"""Kubernetes' label selectors, evaluated: for those that the API server does not apply. Pure."""

from collections.abc import Mapping
from typing import Any

from hotfire.errors import ClusterError


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a LabelSelector takes an object of these labels.

    None selects nothing, an empty one everything; all of ``matchLabels`` and ``matchExpressions``
    must hold.

    Raises:
        ClusterError: it has an operator that no version known to us has.
    """
    if selector is None:
        return False
    exact: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in exact.items()):
        return False
    return all(holds(row, labels) for row in selector.get("matchExpressions") or ())


def holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether one condition on a label holds.

    Raises:
        ClusterError: it has an operator that no version known to us has.
    """
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            # A label that is not there is not in the list either.
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            raise ClusterError(f"a selector has the operator {operator!r}, which we do not know")
