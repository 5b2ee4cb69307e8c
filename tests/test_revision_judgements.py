"""What the check of revisions concludes from digests."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from suites.storage.test_engines_serve_the_production_revision import (
    READ,
    Declared,
    Served,
    image_digest,
    other,
    require_read,
    served_of,
)

RIGHT, WRONG = "sha256:" + "0" * 64, "sha256:" + "1" * 64
DECLARED = Declared(image=RIGHT, weights={"a.safetensors": RIGHT})


def pod(image_id: str) -> Pod:
    status = {"containerStatuses": [{"name": "vllm", "imageID": image_id}]}
    metadata = {"namespace": "x", "name": "x", "uid": "1"}
    return Pod.parse({"metadata": metadata, "spec": {}, "status": status})


def served(image: str = RIGHT, **weights: str) -> Served:
    files = {name.replace("_", "."): digest for name, digest in weights.items()}
    return Served(image=image, weights=files, in_image=frozenset())


@pytest.mark.parametrize("image_id", [RIGHT, f"quay.io/x@{RIGHT}", f"docker-pullable://x@{RIGHT}"])
def test_an_images_digest_is_the_end_of_its_id(image_id: str) -> None:
    assert image_digest(pod(image_id), "vllm") == RIGHT


def test_an_image_without_a_digest_is_not_known() -> None:
    assert image_digest(pod("python:3"), "vllm") == ""


@pytest.mark.parametrize(
    ("found", "differences"),
    [
        (served(a_safetensors=RIGHT), []),
        (served(WRONG, a_safetensors=RIGHT), [f"image {WRONG}"]),
        (served(a_safetensors=WRONG), [f"a.safetensors {WRONG}"]),
        (served(), ["no a.safetensors"]),
    ],
)
def test_each_difference_is_named(found: Served, differences: list[str]) -> None:
    assert list(DECLARED.differences(found)) == differences


def test_other_revisions_differ_by_one_digest() -> None:
    sound = served(a_safetensors=RIGHT)

    assert [len(list(one.differences(sound))) for one in DECLARED.altered()] == [1, 1]
    assert other(other(RIGHT)) == RIGHT


def test_of_two_copies_the_one_that_differs_counts() -> None:
    copies = [
        {"name": "a.safetensors", "digest": digest, "in_image": ""} for digest in (WRONG, RIGHT)
    ]

    assert served_of(RIGHT, copies, DECLARED).weights == {"a.safetensors": WRONG}


@pytest.mark.parametrize("found", [served("", a_safetensors=RIGHT), served()])
def test_nothing_is_concluded_from_what_was_not_read(found: Served) -> None:
    with pytest.raises(HarnessError, match=r"digest|no engine has a file"):
        require_read({"vllm-0": found})


def test_files_of_a_declared_name_are_read_wherever_they_lie(tmp_path: Path) -> None:
    content = b"weights" * 300_000
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "a.safetensors").write_bytes(content)
    (tmp_path / "v1" / "other-a.safetensors").write_bytes(b"")
    argv = [sys.executable, "-I", "-S", "-c", READ, '["a.safetensors"]', str(tmp_path), "/nowhere"]

    [found] = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)

    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert (found["name"], found["digest"]) == ("a.safetensors", digest)
