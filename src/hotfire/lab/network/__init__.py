"""The lab's network: namespaces, links and routes."""
