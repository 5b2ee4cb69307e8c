"""PID 1 of a lab machine: its own namespaces, a root file system, and supervised services.

Run as a program (``python -I -S machine_init.py SPEC``), never imported by the tool. It keeps to
the standard library and to few imports because every machine of the lab carries one of these for
its whole life, and all imports stand at the top: the new root has no modules to offer.

The first process joins the machine's cgroups and network namespace, unshares the rest and forks;
the child becomes PID 1 of the machine. Killing that one process is a power cut: the kernel ends
everything inside and drops the mounts.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import stat
import struct
import sys
import time

TYPE_CHECKING = False  # Type checkers take it for true.
if TYPE_CHECKING:
    from hotfire.lab.programs.machine_spec import ServiceSpec, Spec

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC = 1, 32, 4096, 16384
MS_PRIVATE, MS_SHARED = 1 << 18, 1 << 20
MNT_DETACH = 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
LOOP_CTL_GET_FREE, LOOP_CONFIGURE = 0x4C82, 0x4C0A
LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR = 1, 4
LOOP_MAJOR = 7
RESTART_SECONDS = 1.0
CONTROL = "/var/lib/hotfire/services"
PIDS = "/run/hotfire"

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    check(
        libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()),
        f"mount {source} on {target}",
    )


def lend(source: str, target: str, *, read_only: bool = False) -> None:
    """Show a directory of the host below another path; a file is copied.

    A bound file would go away when the host replaces it, as every installation does with the
    linker's cache.
    """
    if not os.path.isdir(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(source, "rb") as original, open(target, "wb") as copy:
            copy.write(original.read())
        return
    os.makedirs(target, exist_ok=True)
    mount(source, target, "", MS_BIND | MS_REC)
    if read_only:
        mount("", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def enter(spec: Spec) -> None:
    """Join the machine's cgroups and network, and unshare everything else."""
    for procs in spec["cgroup_procs"]:
        with open(procs, "w") as file:
            file.write(str(os.getpid()))
    with open(spec["network_namespace"]) as namespace:
        check(libc.setns(namespace.fileno(), CLONE_NEWNET), "join network namespace")
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_NEWPID
    check(libc.unshare(flags), "unshare")


def mount_cgroups(root: str, spec: Spec) -> None:
    path = f"{root}/sys/fs/cgroup"
    if spec["cgroup_version"] == 2:
        mount("cgroup2", path, "cgroup2")
        return
    mount("tmpfs", path, "tmpfs", 0, "mode=755")
    for controller in spec["cgroup_controllers"]:
        os.mkdir(f"{path}/{controller}")
        named = "none,name=systemd" if controller == "systemd" else controller
        mount("cgroup", f"{path}/{controller}", "cgroup", 0, named)


def make_device(path: str, mode: int, device: int) -> None:
    """Make a device node with exactly these permissions, whatever the umask."""
    os.mknod(path, mode, device)
    os.chmod(path, stat.S_IMODE(mode))


def make_devices(root: str, spec: Spec) -> None:
    """Make a small /dev of its own; GPUs are block devices that say what they are."""
    dev = f"{root}/dev"
    mount("tmpfs", dev, "tmpfs", 0, "mode=755")
    for directory in ("net", "pts", "shm", "mqueue"):
        os.mkdir(f"{dev}/{directory}")
    for device in spec["character_devices"]:
        mode = device["permissions"] | stat.S_IFCHR
        number = os.makedev(device["major"], device["minor"])
        make_device(f"{dev}/{device['name']}", mode, number)
    mount("devpts", f"{dev}/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620")
    mount("tmpfs", f"{dev}/shm", "tmpfs", 0, "mode=1777")
    for name, target in spec["device_links"].items():
        os.symlink(target, f"{dev}/{name}")
    for name, image in spec["block_devices"].items():
        os.makedirs(os.path.dirname(f"{dev}/{name}"), exist_ok=True)
        number = os.makedev(LOOP_MAJOR, attach_loop(image))
        make_device(f"{dev}/{name}", 0o666 | stat.S_IFBLK, number)


def attach_loop(image: str) -> int:
    """Attach a file to a free loop device and return its minor number.

    It detaches itself when PID 1 ends.
    """
    while True:
        with open("/dev/loop-control", "rb") as control:
            minor = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        path = f"/dev/loop{minor}"
        if not os.path.exists(path):
            os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(LOOP_MAJOR, minor))
        device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        backing = os.open(image, os.O_RDONLY)
        # struct loop_config: fd, block size, then loop_info64 with lo_flags at byte 52.
        info = bytearray(232)
        struct.pack_into("=I", info, 52, LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR)
        config = struct.pack("=II", backing, 512) + bytes(info) + bytes(64)
        try:
            fcntl.ioctl(device, LOOP_CONFIGURE, config)
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY:
                raise
            continue
        finally:
            os.close(backing)
        return minor  # The descriptor stays open on purpose: autoclear waits for its end.


def build_root(spec: Spec) -> None:
    """Put the machine's root file system together below ``spec["root"]``."""
    root = spec["root"]
    make_skeleton(root)
    lower = ":".join(spec["usr_layers"])
    mount("overlay", f"{root}/usr", "overlay", MS_RDONLY, f"lowerdir={lower}")
    make_devices(root, spec)
    lend(spec["var"], f"{root}/var")
    for entry in spec["binds"]:
        if os.path.exists(entry["source"]):
            lend(entry["source"], root + entry["target"], read_only=entry["read_only"])
    for path, text in spec["files"].items():
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        with open(root + path, "w") as file:
            file.write(text)
    mount("sysfs", f"{root}/sys", "sysfs")
    mount_cgroups(root, spec)
    mount("proc", f"{root}/proc", "proc")
    mount("tmpfs", f"{root}/run", "tmpfs", 0, "mode=755")
    logs = [os.path.dirname(service["log"]) for service in spec["services"]]
    for directory in [*spec["directories"], *logs]:
        os.makedirs(root + directory, exist_ok=True)


def make_skeleton(root: str) -> None:
    """Make an empty root on a tmpfs; from here on no mount is seen outside."""
    os.makedirs(root, exist_ok=True)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", 0, "mode=755")
    for name in ("proc", "sys", "dev", "run", "tmp", "etc", "var", "usr", "opt", "root", "mnt"):
        os.mkdir(f"{root}/{name}")
    os.chmod(f"{root}/tmp", 0o1777)
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.lexists(f"/usr/{name}"):
            os.symlink(f"usr/{name}", f"{root}/{name}")


def enter_root(root: str) -> None:
    os.chdir(root)
    check(libc.syscall(SYS_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "detach the old root")
    os.chdir("/")
    mount("none", "/", "", MS_REC | MS_SHARED)


def close_quietly(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass


def find_program(name: str, path: str) -> str:
    """Return where a program lies.

    os.execvpe would import modules that the new root does not have.
    """
    for directory in path.split(":"):
        candidate = f"{directory}/{name}"
        if os.access(candidate, os.X_OK):
            return candidate
    return name


class Service:
    """One program that is started again whenever it ends, as systemd would."""

    def __init__(self, spec: ServiceSpec) -> None:
        self.name, self.argv, self.env = spec["name"], spec["argv"], spec["env"]
        self.log, self.nice = spec["log"], spec.get("nice", 0)
        self.realtime = spec.get("realtime", False)
        self.fds = set(spec.get("fds", ()))
        self.pid, self.start_at, self.wanted = 0, 0.0, True

    def start(self) -> None:
        try:
            self.pid = os.fork()
        except OSError as error:  # Out of memory or ids: a machine outlives that, and tries again.
            os.write(2, f"{self.name}: {error!r}\n".encode())
            self.start_at = time.monotonic() + RESTART_SECONDS
            return
        if self.pid:
            with open(f"{PIDS}/{self.name}.pid", "w") as file:
                file.write(str(self.pid))
            return
        try:
            self.become_program()
        except BaseException as error:  # noqa: BLE001 - the child must never return from here
            os.write(2, f"{self.name}: {error!r}\n".encode())
        os._exit(127)

    def become_program(self) -> None:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        log = os.open(self.log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for descriptor in range(3, 256):
            if descriptor not in self.fds:
                close_quietly(descriptor)
        if self.nice:
            os.nice(self.nice)
        if self.realtime:
            try:
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            except OSError:
                pass  # Its cgroup has no such time to give: then its niceness has to do.
        os.execve(find_program(self.argv[0], self.env["PATH"]), self.argv, self.env)

    def tend(self, now: float) -> None:
        """Start what should run and does not, or stop what should not."""
        if self.wanted and not self.pid and now >= self.start_at:
            self.start()
        elif not self.wanted and self.pid:
            os.kill(self.pid, signal.SIGKILL)


def hold_or_release(services: list[Service]) -> None:
    """A file ``NAME.down`` in the control directory keeps a service stopped while it lies there."""
    for service in services:
        service.wanted = not os.path.exists(f"{CONTROL}/{service.name}.down")


def reap(services: list[Service], now: float) -> None:
    while True:
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        for service in services:
            if service.pid == pid:
                service.pid, service.start_at = 0, now + RESTART_SECONDS
                try:
                    os.unlink(f"{PIDS}/{service.name}.pid")
                except FileNotFoundError:
                    pass


def supervise(spec: Spec) -> None:
    """Keep the machine's services running; never returns."""
    services = [Service(each) for each in spec["services"]]
    os.makedirs(CONTROL, exist_ok=True)
    os.makedirs(PIDS, exist_ok=True)
    watched = {signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    while True:
        now = time.monotonic()
        reap(services, now)
        hold_or_release(services)
        for service in services:
            service.tend(now)
        # SIGCHLD or SIGHUP (after a change in the control directory) wake at once; else look once
        # a second.
        signal.sigtimedwait(watched, 1.0)


def fork_into_machine(pid_file: str) -> None:
    """Fork; the parent leaves the child's id in a file and ends, the child returns as PID 1."""
    # The parent shares the new mount namespace: it must have written the id before the root
    # changes.
    told, tell = os.pipe()
    child = os.fork()
    if child:
        with open(pid_file + ".new", "w") as file:
            file.write(str(child))
        os.rename(pid_file + ".new", pid_file)
        os.write(tell, b"!")
        os._exit(0)
    os.read(told, 1)
    os.close(told)
    os.close(tell)


def main() -> None:
    with open(sys.argv[1]) as file:
        spec: Spec = json.load(file)
    os.setsid()
    enter(spec)
    fork_into_machine(spec["pid_file"])
    libc.sethostname(spec["hostname"].encode(), len(spec["hostname"]))
    build_root(spec)
    enter_root(spec["root"])
    supervise(spec)


if __name__ == "__main__":
    main()
