"""Namespaces of the lab in which pods may start at once."""

from hotfire.lab.cluster.kube import Kubectl


def await_account(kubectl: Kubectl, namespace: str) -> None:
    """Wait for a new namespace's default account, without which the API refuses every pod."""
    account = ("wait", "--for=create", "serviceaccount/default", f"--namespace={namespace}")
    kubectl.run(*account, "--timeout=50s")
