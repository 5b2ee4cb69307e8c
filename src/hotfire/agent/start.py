"""Starts the agent's program only if its code is what its pod was made for.

The text of this module stands in the pod's arguments (``python3 -c TEXT FOLDER SHA256 WORDS...``),
which nobody changes without making another pod. The code lies in a ConfigMap, which can be edited.
"""

import hashlib
import runpy
import sys
from pathlib import Path

PROGRAM = "hotfire.agent.program"


def digest(folder: Path) -> str:
    """Return the SHA-256 of a folder's modules, their names included, in hexadecimal."""
    seen = hashlib.sha256()
    for path in sorted(folder.glob("*.py"), key=lambda one: one.name):
        text = path.read_bytes()
        seen.update(f"{path.name} {len(text)}\n".encode() + text)
    return seen.hexdigest()


def main(folder: str, expected: str, *words: str) -> None:
    """Run the program of a folder of packages with some words.

    Raises:
        SystemExit: its code is another one.
    """
    found = digest(Path(folder, "hotfire", "agent"))
    if found != expected:
        raise SystemExit(
            f"the agent's code was changed after its pod was made: SHA-256 {found[:12]} instead of"
            f" {expected[:12]}; it does not start. `hotfire heal` brings the right one"
        )
    sys.path.insert(0, folder)
    sys.argv[:] = [PROGRAM, *words]
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
