"""``python -m hotfire.lab.handles.power_switch HOME cut NODE SECONDS``, or ``HOME restore NODE``.

The lab's target file names it, so that a fault cuts a node's power as it would any node's: by a
command that gives it back by itself. The lab's warden does that, whatever becomes of this process.
"""

import sys
from pathlib import Path

from hotfire.errors import HotfireError
from hotfire.lab.handles import breaking, mending, names
from hotfire.lab.handles.plan import BreakOptions
from hotfire.lab.lab import Lab
from hotfire.own_folders import project_root


def main(home: str, verb: str, node: str, seconds: str = "") -> None:
    """Cut or restore; what went wrong is the last word on stderr, with an exit code of 1."""
    lab, name = Lab(project_root(), home=Path(home)), f"{node}/power"
    try:
        if verb == "cut":
            handle = names.find(names.of_lab(lab.topology(), lab.rack), name)
            order = BreakOptions(how=names.way(handle, None), for_seconds=float(seconds))
            breaking.break_(lab, handle, order)
        else:
            mending.mend(lab, breaking.of_lab(lab), name, because="asked to")
    except HotfireError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
