"""Sending requests and reading their streams, at the moment it happens."""
