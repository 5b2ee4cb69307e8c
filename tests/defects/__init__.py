"""Broken twins: for each suite file one module that breaks exactly that requirement.

``broken(world)`` breaks it for the length of a ``with`` block and puts it back. The check must then
report *failed*, not inconclusive; see ``tests/test_every_check_can_fail.py``.
"""
