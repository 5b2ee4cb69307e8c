"""The lab's network policies: an agent on each node turns networking.k8s.io/v1 into nftables.

Standard library only and relative imports: a pod gets nothing but this directory.
"""
