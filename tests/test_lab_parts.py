"""Parts are built once, resumed after an interruption, and a failed build says its remedy."""

import errno
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from hotfire.errors import LabError
from hotfire.lab.build import golang
from hotfire.lab.build.parts import SOURCES, GoPart, go_parts, kubernetes_versions
from hotfire.lab.build.store import Store
from hotfire.lab.build.workshop import Workshop
from hotfire.lab.machine.control_plane import SWITCHED
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import KUBERNETES

# Writes the file that -o names, as `go build` does.
BUILDS = 'while [ "$1" != -o ]; do shift; done; echo "built $3" > "$2"'


class InstallGo(Protocol):
    def __call__(self, script: str, version: str = ...) -> None: ...


@pytest.fixture
def install_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallGo:
    """Put a program named go on the path that answers its version and then does as told."""

    def install(script: str, version: str = "go1.26.1") -> None:
        program = tmp_path / "go-bin" / "go"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\n[ "$1" = env ] && echo {version} && exit\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return install


@pytest.fixture
def part(tmp_path: Path) -> GoPart:
    source = tmp_path / "sources" / "tool"
    source.mkdir(parents=True)
    (source / "go.mod").write_text("module tool\n")
    programs = {"one": "example.org/one", "two": "example.org/two"}
    return GoPart(name="tool", programs=programs, sources=tmp_path / "sources")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "cache", tmp_path, Progress(lambda _: None))


@pytest.mark.parametrize("version", kubernetes_versions())
def test_every_part_is_pinned_by_go_mod_and_go_sum(version: str) -> None:
    for part in go_parts(version):
        assert {"go.mod", "go.sum"} <= {path.name for path in part.source.iterdir()}


def test_only_kubernetes_differs_by_its_version() -> None:
    assert len(kubernetes_versions()) > 1
    parts = {one: go_parts(one) for one in kubernetes_versions()}

    differing = {
        part.name
        for some in parts.values()
        for part, usual in zip(some, parts[KUBERNETES], strict=True)
        if part.fingerprint() != usual.fingerprint()
    }
    said = {one: re.findall(r"gitVersion=v(\d+\.\d+)\.", p[0].ldflags) for one, p in parts.items()}

    assert differing == {"kubernetes"}
    assert said == {one: [one] for one in parts}
    assert set(parts) == set(SWITCHED)


def test_coredns_has_every_plugin_of_a_usual_corefile() -> None:
    usual = [
        *("errors", "health", "ready", "kubernetes", "metrics"),
        *("forward", "cache", "loop", "reload", "loadbalance"),
    ]
    program = (SOURCES / "coredns" / "main.go").read_text()

    assert [one for one in usual if f'coredns/plugin/{one}"' not in program] == []


def test_a_version_that_the_lab_is_not_pinned_to_is_told_with_those_it_is() -> None:
    with pytest.raises(LabError, match=r"can have Kubernetes 1\.36, 1\.37, not 1\.2"):
        go_parts("1.2")


def test_fingerprint_changes_with_go_mod(part: GoPart) -> None:
    before = part.fingerprint()

    (part.source / "go.mod").write_text("module tool // v2\n")

    assert part.fingerprint() != before


@pytest.mark.parametrize("change", [{"tags": "netgo"}, {"ldflags": "-X a=b"}, {"programs": {}}])
def test_fingerprint_changes_with_the_recipe(part: GoPart, change: dict[str, object]) -> None:
    assert replace(part, **change).fingerprint() != part.fingerprint()  # type: ignore[arg-type]


def test_fingerprint_is_the_same_in_another_checkout(part: GoPart, tmp_path: Path) -> None:
    shutil.copytree(part.sources, tmp_path / "elsewhere")

    assert replace(part, sources=tmp_path / "elsewhere").fingerprint() == part.fingerprint()


def test_part_is_built_once(workshop: Workshop, part: GoPart, install_go: InstallGo) -> None:
    install_go(BUILDS)
    home = workshop.go(part)
    install_go("exit 1")

    assert workshop.go(part) == home
    assert (home / "bin" / "two").read_text() == "built example.org/two\n"


def test_interrupted_build_is_no_part_and_goes_on_where_it_stopped(
    workshop: Workshop, part: GoPart, install_go: InstallGo
) -> None:
    install_go(f'case "$*" in *two) echo no network >&2; exit 1;; esac; {BUILDS}')
    with pytest.raises(LabError, match=r"building tool failed .*: no network"):
        workshop.go(part)
    assert not workshop.store.has(part.name, part.fingerprint())

    install_go(f'case "$*" in *one) echo built twice >&2; exit 1;; esac; {BUILDS}')
    home = workshop.go(part)

    assert {path.name for path in (home / "bin").iterdir()} == {"one", "two"}


def test_half_written_program_is_not_taken_for_a_built_one(
    workshop: Workshop, part: GoPart, install_go: InstallGo
) -> None:
    install_go(f"{BUILDS}; exit 1")
    with pytest.raises(LabError):
        workshop.go(part)

    install_go(BUILDS.replace("built", "rebuilt"))
    home = workshop.go(part)

    assert (home / "bin" / "one").read_text() == "rebuilt example.org/one\n"


def test_full_disk_told_by_a_build_is_one_line_with_the_remedy(
    workshop: Workshop, part: GoPart, install_go: InstallGo
) -> None:
    install_go('echo "a\nwrite /x: No space left on device\nb" >&2; exit 1')

    with pytest.raises(LabError) as caught:
        workshop.go(part)

    assert "the disk is full" in str(caught.value)
    assert "make room and run the same command again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_full_disk_met_by_ourselves_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    def build(staging: Path) -> None:
        (staging / "first").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path)
    with pytest.raises(LabError, match=r"tool: the disk is full .* make room and run the same"):
        store.make("tool", "0", build)

    assert not store.has("tool", "0")


def test_store_resumes_in_what_a_failed_build_left(tmp_path: Path) -> None:
    def fail(staging: Path) -> None:
        (staging / "first").touch()
        raise OSError(errno.EACCES, "Permission denied")

    store = Store(tmp_path)
    with pytest.raises(PermissionError):
        store.make("tool", "0", fail)
    home = store.make("tool", "0", lambda staging: (staging / "second").touch())

    assert {path.name for path in home.iterdir()} == {"first", "second"}


def test_missing_go_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(LabError, match=r"^the lab .* needs Go >= 1.26: no `go` on the PATH$"):
        golang.check()


@pytest.mark.parametrize("version", ["go1.19.8", "''"])
def test_old_go_is_one_line(install_go: InstallGo, version: str) -> None:
    install_go("", version)

    with pytest.raises(LabError, match=r"^the lab needs Go >= 1.26, `go` is .*newer Go$"):
        golang.check()


@pytest.mark.parametrize("version", ["go1.26.0", "go1.30.2", "go2.0"])
def test_recent_go_is_taken(install_go: InstallGo, version: str) -> None:
    install_go("", version)

    golang.check()
