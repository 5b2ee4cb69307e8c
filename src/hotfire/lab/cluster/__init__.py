"""What makes the lab's machines a Kubernetes cluster, and what runs inside it."""
