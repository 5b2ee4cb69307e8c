"""Machines of the lab: what each one is made of, switching it on and cutting its power."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab import cgroups, netns
from hotfire.lab.machine_spec import BindSpec, ServiceSpec, Spec
from hotfire.lab.topology import Machine

_INIT = Path(__file__).with_name("machine_init.py")
_PATH = "/opt/hotfire/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASE_ENV = {"PATH": _PATH, "HOME": "/root", "LD_LIBRARY_PATH": "/opt/hotfire/python/lib"}
# What the host lends every machine, so that its programs find their libraries.
_HOST_ETC = ("/etc/alternatives", "/etc/ssl", "/etc/ld.so.cache", "/etc/iproute2", "/etc/protocols")
_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A supervised program of a machine; paths are the machine's own."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=lambda: dict(BASE_ENV))
    nice: int = 0
    fds: tuple[int, ...] = ()

    @property
    def log(self) -> str:
        return f"/var/log/{self.name}.log"

    def spec(self) -> ServiceSpec:
        return {
            "name": self.name,
            "argv": list(self.argv),
            "env": self.env,
            "nice": self.nice,
            "fds": list(self.fds),
            "log": self.log,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A directory or file of the host as the machine sees it."""

    source: str
    target: str
    read_only: bool = True

    def spec(self) -> BindSpec:
        return {"source": self.source, "target": self.target, "read_only": self.read_only}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything a machine has besides what all machines have."""

    machine: Machine
    services: tuple[Service, ...]
    binds: tuple[Bind, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()


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

    def switch_on(self, blueprint: Blueprint) -> None:
        """Start a machine; returns once its PID 1 exists."""
        name = blueprint.machine.name
        home = self.home(name)
        self.var(name).mkdir(parents=True, exist_ok=True)
        (home / "root").mkdir(exist_ok=True)
        (home / "pid").unlink(missing_ok=True)
        spec = home / "spec.json"
        spec.write_text(json.dumps(self._spec(blueprint), indent=1))
        fds = [fd for service in blueprint.services for fd in service.fds]
        with (home / "init.log").open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(_INIT), str(spec)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
                timeout=20,
                check=False,
            )
        if done.returncode:
            said = (home / "init.log").read_text().strip().splitlines()
            raise LabError(f"machine {name} did not start: {said[-1] if said else done.returncode}")

    def spec(self, name: str) -> Spec:
        """Return what a machine was switched on with."""
        found: Spec = json.loads((self.home(name) / "spec.json").read_text())
        return found

    def rewrite(self, name: str, path: str, text: str) -> None:
        """Replace a file of a machine, for now and for its next start."""
        spec = self.spec(name)
        spec["files"][path] = text
        (self.home(name) / "spec.json").write_text(json.dumps(spec, indent=1))
        if pid := self.pid(name):
            Path(f"/proc/{pid}/root{path}").write_text(text)

    def discard(self, name: str) -> None:
        """Forget a machine that is off: its disk and its control groups."""
        shutil.rmtree(self.home(name), ignore_errors=True)
        cgroups.remove(name)

    def _spec(self, blueprint: Blueprint) -> Spec:
        machine, home = blueprint.machine, self.home(blueprint.machine.name)
        binds = [Bind(source=path, target=path) for path in _HOST_ETC]
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
            "gpu_images": [str(path) for path in self._gpu_images(machine)],
            "binds": [bind.spec() for bind in (*binds, *blueprint.binds)],
            "files": _FILES | {"/etc/hostname": machine.name + "\n"} | blueprint.files,
            "directories": list(blueprint.directories),
            "services": [service.spec() for service in blueprint.services],
        }

    def _gpu_images(self, machine: Machine) -> list[Path]:
        """Write one small file per GPU; its first sector is the GPU's UUID."""
        paths = []
        for index, uuid in enumerate(machine.gpus):
            path = self.home(machine.name) / f"gpu{index}.img"
            path.write_bytes(uuid.encode().ljust(4096, b"\0"))
            paths.append(path)
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
            LabError: the machine is off or the program failed.
        """
        done = subprocess.run(
            [*self.enter(name), *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_seconds,
            env=BASE_ENV,
            check=False,
        )
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
        return self.var(name) / "lib" / "hotfire" / "services"

    def _wake(self, name: str) -> None:
        if pid := self.pid(name):
            os.kill(pid, signal.SIGHUP)

    def cut_power(self, name: str) -> None:
        """Kill a machine's PID 1: the kernel ends everything inside it."""
        pid = self.pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
