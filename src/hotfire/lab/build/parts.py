"""The programs the lab is made of: which, where from, and where they lie once they are built.

Sources: Go's module proxy (one go.mod and go.sum a part, below ``parts/``), PyPI (hashed
requirements), Debian. `hotfire.lab.build.workshop` builds them.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hotfire.errors import LabError

SOURCES = Path(__file__).parent / "parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoPart:
    """Programs built from one pinned Go module."""

    name: str
    programs: dict[str, str]
    tags: str = ""
    ldflags: str = ""
    # Files of the module the lab needs as they are: (module, path inside it, name in the part).
    shares: tuple[tuple[str, str, str], ...] = ()
    # Not in the fingerprint: another checkout builds the same programs.
    sources: Path = field(default=SOURCES, repr=False)
    # Where it is not the part's name: one part, several versions of it.
    folder: str = field(default="", repr=False)

    @property
    def source(self) -> Path:
        """The folder with the part's go.mod, go.sum and any Go files of ours."""
        return self.sources / (self.folder or self.name)

    def fingerprint(self) -> str:
        """Return a hash over everything that goes into the part."""
        return fingerprint(self, self.source.iterdir())


def fingerprint(part: object, files: Iterable[Path]) -> str:
    """Return a hash over what a part says of itself, and over files."""
    digest = hashlib.sha256(repr(part).encode())
    for path in sorted(files):
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
# One folder a minor version: go.mod names the release.
_VERSIONED = "kubernetes-"
_CONTAINERD = "github.com/containerd/containerd/v2"
_ENVOY_GATEWAY = "github.com/envoyproxy/gateway"

_BESIDE_KUBERNETES = (
    GoPart(name="etcd", programs={"etcd": "go.etcd.io/etcd/server/v3"}),
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
        programs={
            name: f"github.com/prometheus/prometheus/cmd/{name}"
            for name in ("prometheus", "promtool")
        },
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


def go_parts(kubernetes: str) -> tuple[GoPart, ...]:
    """Return the parts from Go of a lab with that minor version of Kubernetes, such as 1.36.

    Raises:
        LabError: the lab is not pinned to any release of it.
    """
    return (_kubernetes(kubernetes), *_BESIDE_KUBERNETES)


def kubernetes_versions() -> tuple[str, ...]:
    """Return the minor versions of Kubernetes that a lab can have, oldest first."""
    found = (path.name.removeprefix(_VERSIONED) for path in SOURCES.glob(f"{_VERSIONED}*"))
    return tuple(sorted(found, key=lambda version: [int(part) for part in version.split(".")]))


def _kubernetes(minor: str) -> GoPart:
    if minor not in kubernetes_versions():
        known = ", ".join(kubernetes_versions())
        raise LabError(f"a lab can have Kubernetes {known}, not {minor}")
    folder = f"{_VERSIONED}{minor}"
    release = _release((SOURCES / folder / "go.mod").read_text())
    major, number = minor.split(".")
    return GoPart(
        name="kubernetes",
        folder=folder,
        programs={name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES},
        ldflags=f"-X {_COMPONENT}.gitVersion={release} -X {_COMPONENT}.gitMajor={major} "
        f"-X {_COMPONENT}.gitMinor={number} -X {_COMPONENT}.gitTreeState=clean",
    )


def _release(go_mod: str) -> str:
    """Return the release of Kubernetes that a go.mod pins."""
    found: str = re.findall(r"k8s\.io/kubernetes (v\S+)", go_mod)[0]
    return found


# Of an empty cache on two cores, in the order in which they are made: the later share packages with
# the earlier. They only say how far a build is, which corrects them by its own pace.
_SECONDS = {
    "etcd": 35.0,
    "kubernetes": 420.0,
    "containerd": 75.0,
    "coredns": 40.0,
    "prometheus": 75.0,
    "envoy-gateway": 180.0,
    "engine": 75.0,
    "model": 20.0,
    "keda": 560.0,
    "kueue": 220.0,
    "metrics-server": 90.0,
    "kwok": 105.0,
    "llm-d-inference-sim": 120.0,
    "llama-cpp": 300.0,
}


def known_seconds(part: str) -> float:
    """Return about how long a part takes to build; a minute where nobody has measured it."""
    return _SECONDS.get(part, 60.0)


@dataclass(frozen=True, slots=True)
class Parts:
    """Where everything lies once it is built."""

    binaries: Path
    gateway_crds: Path
    engine: Path
    model: Path
    add_ons: Mapping[str, Path]
    """By name: those that were asked for."""
