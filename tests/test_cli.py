"""Every way a command can end is one clear line and the documented exit code."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hotfire import cli, own_folders
from hotfire.cli.child import Child
from hotfire.errors import ClusterError, HotfireError, LabError, ProfileError
from hotfire.rundir import RunDirectory
from hotfire.waiting import until
from tests.sample_run import write_sample_run


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the checkout: its suites are empty and its runs are ours."""
    root = own_folders.project_root()
    (tmp_path / "suites").mkdir()
    (tmp_path / "reports").symlink_to(root / "reports")
    monkeypatch.setattr(own_folders, "__file__", str(tmp_path / "src/hotfire/own_folders.py"))
    return tmp_path


@pytest.fixture
def recorded(checkout: Path) -> RunDirectory:
    return write_sample_run(checkout / "runs")


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    program = "import sys; from hotfire import cli; cli.run(['--help']); print(*sys.modules)"

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20
    )

    assert "certify" in told.stdout
    assert not {"httpx", "pydantic", "kubernetes", "plotly", "pytest"} & set(told.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["certify", "--levle", "must"], "No such option: --levle"),
        (["certify", "--level", "may"], "Invalid value for '--level'"),
        (["certfy"], "No such command 'certfy'"),
        (["explain"], "Missing argument 'ID'"),
        (["explain", "API-999"], "no requirement 'API-999'"),
        (["report", "20200101T000000Z"], "no run '20200101T000000Z'"),
        (["report", "--format", "pdf"], "no report format 'pdf'; there are cncf, html, json"),
        (["certify", "--only", "API-999"], "no requirement or area 'API-999'; see hotfire list"),
        (["certify", "--target", "/nonexistent.yaml"], "/nonexistent.yaml: cannot be read"),
        (["heal", "--target", "/nonexistent.yaml"], "/nonexistent.yaml: no such target file"),
    ],
)
def test_bad_argument_is_one_line_and_254(
    recorded: RunDirectory, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    code = cli.run(arguments)

    told = capsys.readouterr().err
    assert code == 254, recorded
    assert told.startswith(f"hotfire: {line}")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProfileError("a\nb"), 254),
        (LabError("not root"), 254),
        (ClusterError("no answer"), 255),
        (HotfireError("odd"), 255),
        (KeyboardInterrupt(), 255),
        (ZeroDivisionError("x"), 255),
    ],
)
def test_error_is_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
) -> None:
    def fail(_own: object) -> None:
        raise error

    monkeypatch.setattr("hotfire.cli.show.listed", fail)

    assert cli.run(["list"]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_crash_tells_where_its_traceback_lies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotfire.cli.show.listed", lambda _: 1 / 0)

    cli.run(["list"])

    path = Path(capsys.readouterr().err.rpartition("traceback in ")[2].strip())
    assert "ZeroDivisionError" in path.read_text()
    path.unlink()


def test_report_writes_each_format_beside_the_run(
    recorded: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["report", "latest", "--format", "junit,markdown,json"]) == 0

    told = capsys.readouterr().out.split()
    assert [Path(line).name for line in told] == ["report.junit.xml", "report.md", "report.json"]
    assert all(recorded.path(Path(line).name).stat().st_size > 500 for line in told)


def test_report_can_be_printed(recorded: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["report", str(recorded.root), "--format", "markdown", "--output", "-"])

    assert capsys.readouterr().out.startswith("# acme is nonconformant")


def start(tmp_path: Path, test: str) -> Child:
    (tmp_path / "test_it.py").write_text(test)
    options = ["-p", "no:cacheprovider", "-p", "no:locust", "-p", "no:hypothesispytest"]
    return Child.start([*options, "test_it.py"], root=tmp_path, log=tmp_path / "log")


def wait_for(path: Path) -> Callable[[], None]:
    """Return a look that interrupts us, as Ctrl-C does, once a file is there."""
    deadline = time.monotonic() + 20

    def look() -> None:
        if path.exists() or time.monotonic() > deadline:
            raise KeyboardInterrupt

    return look


def test_child_reports_its_exit_status(tmp_path: Path) -> None:
    looks: list[None] = []
    child = start(tmp_path, "def test_it(): assert 0")

    status = child.follow(lambda: looks.append(None))

    assert status == 1
    assert looks


def test_interrupted_child_cleans_up_before_it_ends(tmp_path: Path) -> None:
    child = start(
        tmp_path,
        "import pathlib, signal, pytest\n"
        "@pytest.fixture\ndef broken():\n"
        "    pathlib.Path('broken').touch()\n    yield\n    pathlib.Path('healed').touch()\n"
        "def test_it(broken): signal.pause()\n",
    )
    with pytest.raises(KeyboardInterrupt):
        child.follow(wait_for(tmp_path / "broken"))

    status = child.stop()

    assert status == 2
    assert (tmp_path / "healed").exists()


def test_child_that_ignores_the_interrupt_is_ended_with_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotfire.cli.child._CLEANUP_SECONDS", 0.2)
    monkeypatch.setattr("hotfire.cli.child._TERMINATION_SECONDS", 0.2)
    child = start(
        tmp_path,
        "import pathlib, signal\n"
        "def test_it():\n"
        "    for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
        "    pathlib.Path('stubborn').touch()\n"
        "    while True: signal.pause()\n",
    )
    with pytest.raises(KeyboardInterrupt):
        child.follow(wait_for(tmp_path / "stubborn"))

    status = child.stop()

    assert status == -signal.SIGKILL


def test_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, pathlib, signal\n"
        "def test_it():\n"
        "    pathlib.Path('draft').write_text(str(os.getpid()))\n"
        "    os.rename('draft', 'pid')\n    signal.pause()\n"
    )
    program = (
        "from pathlib import Path; from hotfire.cli.child import Child\n"
        "child = Child.start(['-p', 'no:locust', 'test_it.py'], root=Path(), log=Path('log'))\n"
        "child.follow(lambda: None)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    until((tmp_path / "pid").exists, within_seconds=20, what="a running test")

    parent.kill()
    parent.wait(10)

    pid = int((tmp_path / "pid").read_text())
    assert until(lambda: has_ended(pid), within_seconds=10, what=f"process {pid} gone")


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or a zombie that nobody has fetched yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return True
