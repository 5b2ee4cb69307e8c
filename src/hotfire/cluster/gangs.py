"""By which kinds pods are made a gang, as far as SCH-008 can tell whether they start as one."""

from typing import Final

KUEUE: Final = "kueue.x-k8s.io/v1beta2"
NATIVE: Final = (
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha2",
)
"""Versions of Kubernetes' own PodGroup; they come and go with its releases."""
GANG_KINDS: Final = (*(("PodGroup", one) for one in NATIVE), ("ClusterQueue", KUEUE))
