"""Starting a load and waiting for it, on this machine or on pods of the cluster."""
