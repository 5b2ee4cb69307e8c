"""Parts travel in an archive, whole or not at all, and nothing in it can reach beyond its part."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotfire.errors import LabError
from hotfire.lab.build import transfer

Listing = dict[str, Any]
Change = Callable[[Listing], object]


@pytest.fixture
def built(tmp_path: Path) -> list[Path]:
    """Two parts as a build leaves them."""
    homes = [tmp_path / "built" / "parts" / name for name in ("etcd-0000aaaa1111", "model-2222")]
    for home in homes:
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "tool").write_bytes(os.urandom(5000))
        (home / "bin" / "tool").chmod(0o755)
        (home / "data.json").write_text("{}")
        os.utime(home / "data.json", (1_700_000_000, 1_700_000_000))
    return homes


@pytest.fixture
def archive(tmp_path: Path, built: list[Path]) -> Path:
    transfer.write(tmp_path / "parts.tar", built)
    return tmp_path / "parts.tar"


@pytest.fixture
def wanted(tmp_path: Path, built: list[Path]) -> list[Path]:
    return [tmp_path / "cache" / "parts" / home.name for home in built]


def silent(_: str) -> None: ...


def files(home: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return each file's content, permissions and second of its last change."""
    return {
        str(path.relative_to(home)): (
            path.read_bytes(),
            path.stat().st_mode & 0o777,
            int(path.stat().st_mtime),
        )
        for path in home.rglob("*")
        if path.is_file()
    }


def repacked(archive: Path, change: Change, *, kind: bytes = tarfile.REGTYPE) -> Path:
    """Write the archive anew with its list changed, and its files of another kind."""
    with tarfile.open(archive) as tar:
        rows = [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
    listing = json.loads(rows[0][1])
    change(listing)
    rows[0] = (rows[0][0], json.dumps(listing).encode())
    with tarfile.open(archive, "w") as tar:
        for name, data in rows:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name != rows[0][0] and kind != tarfile.REGTYPE:
                member.type, member.linkname, member.size = kind, "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(data))
    return archive


def test_parts_arrive_as_they_were(archive: Path, built: list[Path], wanted: list[Path]) -> None:
    transfer.read(archive, wanted, silent)

    assert [files(home) for home in wanted] == [files(home) for home in built]


def test_both_ends_name_the_list_alike(
    tmp_path: Path, built: list[Path], wanted: list[Path]
) -> None:
    packed = transfer.write(tmp_path / "a.tar", built)

    assert transfer.read(tmp_path / "a.tar", wanted, silent) == packed


def test_compressed_archive_is_read(archive: Path, wanted: list[Path]) -> None:
    archive.write_bytes(gzip.compress(archive.read_bytes()))

    transfer.read(archive, wanted, silent)

    assert all(home.is_dir() for home in wanted)


def test_part_of_another_version_is_passed_over_with_a_line(
    archive: Path, wanted: list[Path]
) -> None:
    said: list[str] = []

    transfer.read(archive, [wanted[1]], said.append)

    assert said[0] == "etcd-0000aaaa1111: of another version"
    assert [home.is_dir() for home in wanted] == [False, True]


def test_part_that_is_here_stays_as_it_is(archive: Path, wanted: list[Path]) -> None:
    wanted[0].mkdir(parents=True)
    said: list[str] = []

    transfer.read(archive, wanted, said.append)

    assert said[0] == "etcd-0000aaaa1111: here already"
    assert list(wanted[0].iterdir()) == []


@pytest.mark.parametrize("field", [{"machine": "s390x"}, {"format": 2, "new": 1}], ids=str)
def test_archive_for_another_machine_or_version_is_passed_over_with_a_line(
    archive: Path, wanted: list[Path], field: Listing
) -> None:
    said: list[str] = []

    transfer.read(repacked(archive, lambda listing: listing.update(field)), wanted, said.append)

    assert len(said) == 1
    assert "nothing is taken" in said[0]
    assert not any(home.exists() for home in wanted)


def second(listing: Listing) -> Listing:
    """Return the first file of the second part."""
    entry: Listing = listing["parts"][1]["files"][0]
    return entry


@pytest.mark.parametrize(
    "change",
    [
        lambda listing: second(listing).update(sha256="0" * 64),
        lambda listing: second(listing).update(size=1),
        lambda listing: listing["parts"][1]["files"].pop(0),
    ],
    ids=["another content", "another length", "an unlisted file"],
)
def test_part_that_is_not_as_listed_is_not_used_and_the_one_before_stays(
    archive: Path, wanted: list[Path], change: Change
) -> None:
    with pytest.raises(LabError, match=r"parts.tar is broken: .* builds the rest"):
        transfer.read(repacked(archive, change), wanted, silent)

    assert [home.is_dir() for home in wanted] == [True, False]
    assert list((wanted[0].parents[1] / ".building").iterdir()) == []


@pytest.mark.parametrize("path", ["../../../out", "/etc/out", "a/../../out", ".", "", "a//b"])
def test_file_that_would_lie_outside_its_part_breaks_the_archive(
    archive: Path, wanted: list[Path], tmp_path: Path, path: str
) -> None:
    with pytest.raises(LabError, match=r"parts.json is not such a list"):
        transfer.read(repacked(archive, lambda one: second(one).update(path=path)), wanted, silent)

    assert not any(home.exists() for home in wanted)
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_link_in_the_archive_breaks_it(archive: Path, wanted: list[Path], kind: bytes) -> None:
    def empty(listing: Listing) -> None:
        for part in listing["parts"]:
            for entry in part["files"]:
                entry["size"] = 0

    with pytest.raises(LabError, match="is not where it belongs"):
        transfer.read(repacked(archive, empty, kind=kind), wanted, silent)

    assert not any(home.exists() for home in wanted)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6])
def test_cut_off_archive_is_one_line_and_leaves_no_half_of_a_part(
    archive: Path, built: list[Path], wanted: list[Path], share: float, compress: Change
) -> None:
    data = compress(archive.read_bytes())  # type: ignore[arg-type]
    assert isinstance(data, bytes)
    archive.write_bytes(data[: int(len(data) * share)])

    with pytest.raises(LabError, match=r"parts.tar is broken") as caught:
        transfer.read(archive, wanted, silent)

    assert "\n" not in str(caught.value)
    for home, original in zip(wanted, built, strict=True):
        assert not home.exists() or files(home) == files(original)


def test_archive_that_is_not_there_is_one_line(tmp_path: Path, wanted: list[Path]) -> None:
    with pytest.raises(LabError, match=r"none.tar cannot be read: No such file"):
        transfer.read(tmp_path / "none.tar", wanted, silent)


def test_export_that_fails_leaves_the_former_archive(archive: Path, built: list[Path]) -> None:
    former = archive.read_bytes()
    (built[1] / "link").symlink_to("/etc/passwd")

    with pytest.raises(LabError, match="is no plain file"):
        transfer.write(archive, built)

    assert archive.read_bytes() == former
    assert [path.name for path in archive.parent.glob("*parts.tar*")] == ["parts.tar"]
