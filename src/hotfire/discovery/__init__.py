"""Looks around in a cluster that nobody has described yet, and writes a target file of what it saw.

It only reads, page by page, and asks nothing that it can find.
"""
