"""Peers that are installed on demand, each into an environment outside the project."""

import subprocess
import sys
from pathlib import Path

from bench.rig import HERE

PACKAGES = {"guidellm": "guidellm==0.8.1"}


def installed(name: str) -> tuple[str, ...]:
    """Return the command that runs a peer; installs it at the first call."""
    if name not in PACKAGES:
        raise SystemExit(f"--peers: expected some of {', '.join(PACKAGES)}, not {name}")
    home = Path.home() / ".cache" / "hotfire" / "peers" / name
    if not (home / "ready").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", "--clear", str(home)], check=True)
        python = str(home / "bin" / "python")
        subprocess.run([uv, "pip", "install", "-q", "--python", python, PACKAGES[name]], check=True)
        (home / "ready").touch()
    return str(home / "bin" / "python"), str(HERE / "peers" / f"{name}_peer.py")
