"""Whose a lab is: it belongs to the checkout or installation that brought it up."""

from hotfire.own_folders import project_root

__all__ = ["project_root"]
