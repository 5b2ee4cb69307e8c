"""Kubernetes' quantities as exact numbers."""

from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity


def quantity(text: str) -> Decimal:
    """Return the number that a quantity such as ``1500m`` or ``2Gi`` stands for.

    Raises:
        ValueError: it is none.
    """
    return Decimal(parse_quantity(text))
