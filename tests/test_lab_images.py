"""The lab's images are one valid OCI layout, and every manifest finds its image there."""

import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hotfire.lab.build import images
from hotfire.lab.build.images import IMAGES, Image, write_archive

MANIFESTS = Path(images.__file__).parents[1] / "cluster" / "manifests"
NAME = "io.containerd.image.name"

pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/catatonit").exists(), reason="catatonit is not installed"
)


class Layout:
    """An OCI layout in a tar file, as a runtime reads it."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            self.files = {
                member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in archive
            }
        self.index = json.loads(self.files["index.json"])

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        """Return what a descriptor points at, if its digest and size are true."""
        kind, digest = descriptor["digest"].split(":")
        data = self.files[f"blobs/{kind}/{digest}"]
        assert hashlib.new(kind, data).hexdigest() == digest
        assert len(data) == descriptor["size"]
        return data

    def config(self, entry: dict[str, Any]) -> dict[str, Any]:
        manifest = json.loads(self.blob(entry))
        found: dict[str, Any] = json.loads(self.blob(manifest["config"]))
        return found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    write_archive(tmp_path / "images.tar", list(IMAGES))
    return Layout(tmp_path / "images.tar")


def test_index_lists_every_image_by_its_name(layout: Layout) -> None:
    names = [entry["annotations"][NAME] for entry in layout.index["manifests"]]

    assert names == [image.name for image in IMAGES]


def test_every_digest_is_that_of_its_blob(layout: Layout) -> None:
    for entry in layout.index["manifests"]:
        manifest = json.loads(layout.blob(entry))
        config = json.loads(layout.blob(manifest["config"]))
        layers = [hashlib.sha256(layout.blob(layer)).hexdigest() for layer in manifest["layers"]]
        assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in layers]
        assert len(layers) == 1


def test_images_share_their_only_layer(layout: Layout) -> None:
    blobs = [name for name in layout.files if name.startswith("blobs/")]

    assert len(blobs) == 1 + 2 * len(IMAGES)


def test_settings_reach_the_configuration(tmp_path: Path) -> None:
    image = Image(name="a/b:1", entrypoint=("e",), command=("c", "d"), env={"PATH": "/x", "K": "v"})
    write_archive(tmp_path / "one.tar", [image])
    layout = Layout(tmp_path / "one.tar")

    settings = layout.config(layout.index["manifests"][0])["config"]

    assert (settings["Entrypoint"], settings["Cmd"]) == (["e"], ["c", "d"])
    assert {"PATH=/x", "K=v"} <= set(settings["Env"])


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"

    write_archive(first, list(IMAGES))
    write_archive(second, list(IMAGES))

    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("manifest", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_image_of_a_manifest_is_in_the_lab(manifest: Path) -> None:
    wanted = set(re.findall(r'image: "?([^\s,}"]+)', manifest.read_text()))

    assert wanted <= {image.name for image in IMAGES}
