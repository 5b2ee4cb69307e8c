"""Says what a target still lacks, for which requirements and faults, and how to get it.

What a check needs of the cluster is read from its own source, so that no list has to be kept.
"""
