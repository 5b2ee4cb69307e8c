"""Container images made on the spot: names and settings over one small skeleton, no registry.

The file system that a container sees comes from its node, read-only, by the runtime's base
specification (see `hotfire.lab.machine.worker`), so an image is only directories, links and
settings: a few kilobytes, imported in milliseconds.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_DIRECTORIES = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var", "var/tmp", "opt")
_LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/os-release": 'NAME="hotfire lab image"\nID=hotfire-lab\n',
}
# Debian's static init for containers; its pause mode is what a pod's sandbox needs.
_PAUSE = Path("/usr/bin/catatonit")
_PATH = (
    "/opt/hotfire/python/bin:/opt/hotfire/bin:/opt/hotfire/add-ons:/usr/local/nvidia/bin:"
    "/usr/sbin:/usr/bin:/sbin:/bin"
)
_TOOL_ENV = {"PYTHONPATH": "/opt/hotfire/tool:/opt/hotfire/src", "PYTHONDONTWRITEBYTECODE": "1"}
_POLICY_ENV = {"PYTHONPATH": "/opt/hotfire/network-policy", "PYTHONDONTWRITEBYTECODE": "1"}
_PROGRAMS_ENV = {"PYTHONPATH": "/opt/hotfire/programs", "PYTHONDONTWRITEBYTECODE": "1"}
_ENGINE_ENV = {"PYTHONPATH": "/opt/hotfire/engine", "PYTHONDONTWRITEBYTECODE": "1"}
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: the name pods ask for and the settings they get."""

    name: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ("/bin/sh",)
    env: Mapping[str, str] = field(default_factory=dict)


IMAGES = (
    Image(name=PAUSE_IMAGE, command=("/pause", "-P")),
    Image(name="docker.io/library/python:3.11-slim", command=("python3",)),
    Image(name="docker.io/library/redis:7-bookworm", command=("redis-server",)),
    Image(name="hotfire.lab/vllm-openai-cpu:0.32.0", env=_ENGINE_ENV),
    Image(name="hotfire.lab/coredns:v1.15.0", entrypoint=("coredns",), command=()),
    Image(name="hotfire.lab/envoy-gateway:v1.9.1", entrypoint=("envoy-gateway",), command=()),
    Image(name="hotfire.lab/envoy:1.40.0", command=("envoy",)),
    Image(name="hotfire.lab/prometheus:v3.15.0", entrypoint=("prometheus",), command=()),
    Image(
        name="hotfire.lab/device-plugin:1",
        command=("python3", "-m", "hotfire.lab.gpu.device_plugin"),
        env=_TOOL_ENV,
    ),
    Image(
        name="hotfire.lab/dra-driver:1",
        command=("python3", "-m", "hotfire.lab.gpu.dra_driver"),
        env=_TOOL_ENV,
    ),
    Image(
        name="hotfire.lab/network-policy:1",
        command=("python3", "-S", "-m", "network_policy"),
        env=_POLICY_ENV,
    ),
    Image(
        name="hotfire.lab/service-addresses:1",
        command=("python3", "-S", "-m", "hotfire.lab.programs.service_addresses"),
        env=_PROGRAMS_ENV,
    ),
    Image(
        name="hotfire.lab/dcgm-exporter:1",
        command=("python3", "-m", "hotfire.lab.gpu.dcgm_exporter"),
        env=_TOOL_ENV,
    ),
)


def write_archive(path: Path, images: list[Image]) -> None:
    """Write one OCI layout with all images; they share their only layer."""
    layer = _layer()
    blobs = {_digest(layer): layer}
    entries = []
    for image in images:
        config = _json(_config(image, _digest(layer)))
        manifest = _json(_manifest(config, layer))
        blobs |= {_digest(config): config, _digest(manifest): manifest}
        entries.append(_descriptor(manifest, "manifest.v1+json") | _named(image.name))
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(archive, "index.json", _json({"schemaVersion": 2, "manifests": entries}))
        for digest, blob in blobs.items():
            _add(archive, f"blobs/sha256/{digest}", blob)


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in _DIRECTORIES:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o1777 if name.endswith("tmp") else 0o755
            archive.addfile(entry)
        for name, target in _LINKS.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name, text in _FILES.items():
            _add(archive, name, text.encode())
        # The sandbox does not get the runtime's base specification, so its program is in the image.
        _add(archive, "pause", _PAUSE.read_bytes(), mode=0o755)
    return buffer.getvalue()


def _config(image: Image, layer_digest: str) -> dict[str, object]:
    env = {"PATH": _PATH, "LD_LIBRARY_PATH": "/opt/hotfire/python/lib"} | dict(image.env)
    return {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "Env": [f"{key}={value}" for key, value in env.items()],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hotfire"}],
    }


def _manifest(config: bytes, layer: bytes) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor(config, "config.v1+json"),
        "layers": [_descriptor(layer, "layer.v1.tar")],
    }


def _descriptor(blob: bytes, kind: str) -> dict[str, object]:
    return {
        "mediaType": f"application/vnd.oci.image.{kind}",
        "digest": f"sha256:{_digest(blob)}",
        "size": len(blob),
    }


def _named(name: str) -> dict[str, object]:
    return {
        "platform": {"architecture": _ARCHITECTURES[platform.machine()], "os": "linux"},
        "annotations": {"io.containerd.image.name": name},
    }


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _add(archive: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
