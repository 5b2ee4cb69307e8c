"""What libraries insist on having as files stays nowhere, not even after a SIGKILL."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hotfire import private_folder

OF_A_PROGRAM = """
import sys
from hotfire.private_folder import private_folder
print(private_folder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def program() -> tuple[subprocess.Popen[str], Path]:
    started = subprocess.Popen(
        [sys.executable, "-c", OF_A_PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    return started, Path(started.stdout.readline().strip())


def sweep(folder: Path, *, later_by: float) -> None:
    private_folder._remove_abandoned(folder, time.time() + later_by)


def test_it_is_ours_alone_and_ends_with_its_process(temporary: Path) -> None:
    started, folder = program()
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700
    Path(folder, "key").write_text("secret")
    started.communicate("", timeout=30)
    assert not list(temporary.iterdir())


def test_the_next_process_removes_what_a_killed_one_left(temporary: Path) -> None:
    started, folder = program()
    Path(folder, "key").write_text("secret")
    sweep(temporary, later_by=3600)
    assert folder.exists(), "of a living process"
    started.kill()
    started.communicate(timeout=30)
    sweep(temporary, later_by=1)
    assert folder.exists(), "it may be one that is not locked yet"
    sweep(temporary, later_by=3600)
    assert not folder.exists()


def test_nothing_else_is_removed(temporary: Path) -> None:
    kept = Path(temporary, "elsewhere")
    kept.mkdir()
    Path(temporary, "hotfire-private-link").symlink_to(kept)
    Path(temporary, "hotfire-private-file").write_text("no folder")
    Path(temporary, "hotfire-another").mkdir()
    sweep(temporary, later_by=3600)
    assert sorted(path.name for path in temporary.iterdir()) == [
        "elsewhere",
        "hotfire-another",
        "hotfire-private-file",
        "hotfire-private-link",
    ]


def test_a_folder_of_another_user_stays(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = Path(temporary, "hotfire-private-theirs")
    foreign.mkdir()
    monkeypatch.setattr("hotfire.private_folder.os.getuid", lambda: os.geteuid() + 1)
    sweep(temporary, later_by=3600)
    assert foreign.exists()
