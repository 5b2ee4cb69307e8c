"""An image as `docker save` writes it, made by hand."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def save(path: Path, name: str, layer: bytes, **config: Any) -> Path:  # noqa: ANN401 - JSON
    """Write an image of one layer; ``config`` is what its containers get."""
    whole = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(whole).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(path, "w") as tar:
        for name_, data in files.items():
            member = tarfile.TarInfo(name_)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path
