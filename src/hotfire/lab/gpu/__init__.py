"""The lab's GPUs: what they are, how nodes share them, and who says so to Kubernetes."""
