"""The machines that stand: switching one on, going inside, cutting its power."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab import programs
from hotfire.lab.machine import cgroups
from hotfire.lab.network import netns
from hotfire.lab.programs.machine_spec import CharacterDeviceSpec, Spec
from hotfire.lab.shape.blueprint import AGENT, AGENT_BINDS, BASE_ENV, CONTROL, Bind, Blueprint

_INIT = programs.path("machine_init.py")
# What the host lends every machine, so that its programs find their libraries.
_HOST_ETC = ("/etc/alternatives", "/etc/ssl", "/etc/ld.so.cache", "/etc/iproute2", "/etc/protocols")
_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# name, permissions, major and minor number of the character devices that every machine has.
_CHARACTER_DEVICES = (
    ("null", 0o666, 1, 3),
    ("zero", 0o666, 1, 5),
    ("full", 0o666, 1, 7),
    ("random", 0o666, 1, 8),
    ("urandom", 0o666, 1, 9),
    ("tty", 0o644, 5, 0),
    ("kmsg", 0o600, 1, 11),
    ("fuse", 0o644, 10, 229),
    ("net/tun", 0o644, 10, 200),
)
_DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
}


class Rack:
    """The place where machines stand: one directory of state for each."""

    def __init__(self, directory: Path, *, usr_layer: Path) -> None:
        self.directory = directory
        self._usr_layer = usr_layer

    def home(self, name: str) -> Path:
        return self.directory / name

    def var(self, name: str) -> Path:
        """Return the machine's /var as the host sees it."""
        return self.home(name) / "var"

    def inside(self, name: str, path: str) -> Path:
        """Return a path below the machine's /var as the host sees it."""
        return self.var(name) / Path(path).relative_to("/var")

    def log(self, name: str, service: str) -> Path:
        return self.var(name) / "log" / f"{service}.log"

    def names(self) -> list[str]:
        if not self.directory.is_dir():
            return []
        return sorted(path.name for path in self.directory.iterdir() if path.is_dir())

    def pid(self, name: str) -> int | None:
        """Return the host's id of the machine's PID 1, or None when it is off."""
        try:
            pid = int((self.home(name) / "pid").read_text())
            environment = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        # The id may belong to somebody else by now.
        return pid if str(self.home(name)).encode() in environment else None

    def age_seconds(self, name: str) -> float | None:
        """Return how long a machine has been on; None: it is off."""
        try:
            stat = Path(f"/proc/{self.pid(name)}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        began = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began

    def switch_on(self, blueprint: Blueprint) -> None:
        """Start a machine; returns once its PID 1 exists."""
        name = blueprint.machine.name
        self.var(name).mkdir(parents=True, exist_ok=True)
        (self.home(name) / "root").mkdir(exist_ok=True)
        self._spec_file(name).write_text(json.dumps(self._spec(blueprint), indent=1))
        self.start(name)

    def start(self, name: str) -> None:
        """Start a machine as it was last written down; returns once its PID 1 exists.

        Raises:
            LabError: it did not start.
        """
        home, services = self.home(name), self.spec(name)["services"]
        (home / "pid").unlink(missing_ok=True)
        for service in services:
            if service["on_demand"]:
                self.hold(name, service["name"])
        with (home / "init.log").open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(_INIT), str(self._spec_file(name))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[fd for service in services for fd in service["fds"]],
                timeout=20,
                check=False,
            )
        if done.returncode:
            said = (home / "init.log").read_text().strip().splitlines()
            raise LabError(f"machine {name} did not start: {said[-1] if said else done.returncode}")

    def spec(self, name: str) -> Spec:
        """Return what was written down about a machine when it was first switched on."""
        spec: Spec = json.loads(self._spec_file(name).read_text())
        return spec

    def services(self, name: str) -> list[str]:
        """Return the services that run as long as a machine is on."""
        return [each["name"] for each in self.spec(name)["services"] if not each["on_demand"]]

    def service_pid(self, name: str, service: str) -> int | None:
        """Return the host's id of a service's process; None: it does not run."""
        init = self.pid(name)
        try:
            inner = int(Path(f"/proc/{init}/root/run/hotfire/{service}.pid").read_text())
            children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
        except (OSError, ValueError):
            return None
        return next((int(one) for one in children if _innermost_pid(int(one)) == inner), None)

    def rewrite(self, name: str, path: str, text: str) -> None:
        """Replace a file of a machine, for now and for its next start."""
        spec = self.spec(name)
        spec["files"][path] = text
        self._spec_file(name).write_text(json.dumps(spec, indent=1))
        if pid := self.pid(name):
            Path(f"/proc/{pid}/root{path}").write_text(text)

    def discard(self, name: str) -> None:
        """Forget a machine that is off: its disk and its control groups."""
        shutil.rmtree(self.home(name), ignore_errors=True)
        cgroups.remove(name)

    def _spec_file(self, name: str) -> Path:
        return self.home(name) / "spec.json"

    def _spec(self, blueprint: Blueprint) -> Spec:
        machine, home = blueprint.machine, self.home(blueprint.machine.name)
        common = [Bind(source=path, target=path) for path in _HOST_ETC]
        binds = {bind.target: bind for bind in (*common, *AGENT_BINDS, *blueprint.binds)}
        return {
            "hostname": machine.name,
            "root": str(home / "root"),
            "var": str(home / "var"),
            "pid_file": str(home / "pid"),
            "network_namespace": str(netns.path(machine.network_namespace)),
            "cgroup_procs": [str(path) for path in cgroups.create(machine.name)],
            "cgroup_version": cgroups.version(),
            "cgroup_controllers": cgroups.controllers(),
            "usr_layers": [str(self._usr_layer), "/usr"],
            "character_devices": _character_devices(),
            "device_links": _DEVICE_LINKS,
            "block_devices": self._write_images(blueprint),
            "binds": [bind.spec() for bind in binds.values()],
            "files": _FILES | {"/etc/hostname": machine.name + "\n"} | blueprint.files,
            "directories": list(blueprint.directories),
            "services": [service.spec() for service in (*blueprint.services, AGENT)],
        }

    def _write_images(self, blueprint: Blueprint) -> dict[str, str]:
        """Write a file for each block device and return where it lies."""
        paths = {}
        for name, content in blueprint.block_devices.items():
            path = self.home(blueprint.machine.name) / f"{name.replace('/', '-')}.img"
            path.write_bytes(content)
            paths[name] = str(path)
        return paths

    def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        within_seconds: float = 30,
    ) -> str:
        """Run a program inside a machine and return its output.

        Raises:
            LabError: the machine is off, the program failed, or it took too long.
        """
        try:
            done = subprocess.run(
                [*self.enter(name), *argv],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=within_seconds,
                env=BASE_ENV,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = f"{' '.join(argv)} took longer than {within_seconds:g} s on {name}"
            raise LabError(said) from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"{' '.join(argv)} failed on {name}: {said}")
        return done.stdout

    def enter(self, name: str) -> list[str]:
        """Return the words that put a program into a machine."""
        pid = self.pid(name)
        if pid is None and name not in self.names():
            known = ", ".join(self.names()) or "none: no lab is up"
            raise LabError(f"no machine {name!r}; there are {known}")
        if pid is None:
            raise LabError(f"machine {name} is off; see `hotfire lab status`")
        return ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "-C", "--"]

    def hold(self, name: str, service: str) -> None:
        """Keep a service stopped, from the start or from now on."""
        directory = self._control(name)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{service}.down").touch()
        self._wake(name)

    def release(self, name: str, service: str) -> None:
        """Let a held service run."""
        (self._control(name) / f"{service}.down").unlink(missing_ok=True)
        self._wake(name)

    def _control(self, name: str) -> Path:
        return self.inside(name, CONTROL)

    def _wake(self, name: str) -> None:
        if pid := self.pid(name):
            os.kill(pid, signal.SIGHUP)

    def cut_power(self, name: str) -> None:
        """Kill a machine's PID 1: the kernel ends everything inside it."""
        pid = self.pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _innermost_pid(pid: int) -> int | None:
    """Return a process's id as its own machine sees it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # It ended while we looked.
        return None
    return next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))


def _character_devices() -> list[CharacterDeviceSpec]:
    return [
        {"name": name, "permissions": permissions, "major": major, "minor": minor}
        for name, permissions, major, minor in _CHARACTER_DEVICES
    ]
