"""When a process has ended: not before the last of its threads."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.agent import processes
from hotfire.agent.entries import Entry, boot_id
from hotfire.agent.hogs import DeviceHog
from hotfire.agent.host import Host
from hotfire.agent.processes import Process
from hotfire.waiting import until
from tests.agent.world import ENTRY

# The first thread ends, the second waits until its input is closed.
HEADLESS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.PyDLL(None).pthread_exit(None)
"""


@pytest.fixture
def headless() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HEADLESS], stdin=subprocess.PIPE)
    until(
        lambda: processes.state(process.pid) == "Z", within_seconds=10, what="a dead first thread"
    )
    yield process
    process.kill()
    process.communicate(timeout=10)


def who(pid: int) -> Process:
    found = processes.identify(pid)
    assert found
    return found


def test_process_lives_while_any_thread_does(headless: subprocess.Popen[bytes]) -> None:
    assert processes.alive(headless.pid)


def test_fault_is_not_healed_while_its_process_still_ends(
    headless: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    host, pid = Host((), tmp_path), headless.pid
    started = processes.started_ticks(pid)
    entry = Entry(
        "u-1", "device.hog", {}, 0, 0, boot_id(), observed={"pid": pid, "started_ticks": started}
    )
    without_command_line = processes.words(pid) == []

    before = DeviceHog().healed(host, entry)
    DeviceHog().undo(host, entry)

    assert without_command_line
    assert not before
    assert DeviceHog().healed(host, entry)


def test_another_process_with_the_id_of_an_ended_one_is_let_live(
    headless: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    observed = {"pid": headless.pid, "started_ticks": processes.started_ticks(headless.pid) - 1}
    entry = Entry("u-1", "device.hog", {}, 0, 0, boot_id(), observed=observed)

    DeviceHog().undo(Host((), tmp_path), entry)

    assert processes.alive(headless.pid)


def test_corpse_does_not_live() -> None:
    process = subprocess.Popen(["true"])
    until(lambda: processes.state(process.pid) == "Z", within_seconds=10, what="a corpse")

    assert not processes.alive(process.pid)

    process.wait(10)


def test_start_tells_processes_apart() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        started = processes.started_ticks(process.pid)
        process.kill()

    assert started > processes.started_ticks(1)
    assert processes.started_ticks(process.pid) == 0


def test_end_is_awaited_no_longer_than_allowed(headless: subprocess.Popen[bytes]) -> None:
    processes.await_end([who(headless.pid)], within_seconds=0.1)

    assert processes.alive(headless.pid)


def test_a_signal_reaches_no_later_process_with_the_same_id() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        now = who(process.pid)
        earlier = Process(now.pid, now.started_ticks - 1)

        reached = processes.send([earlier], signal.SIGKILL)

        assert reached == []
        assert processes.there(now)
        assert not processes.there(earlier)
        assert processes.send([now], signal.SIGKILL) == [now]


def test_a_process_of_another_boot_is_let_live(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        now = who(process.pid)
        observed = {"pid": now.pid, "started_ticks": now.started_ticks}
        entry = Entry("u-1", "device.hog", {}, 0, 0, "an earlier boot", observed=observed)

        DeviceHog().undo(Host((), tmp_path), entry)

        assert processes.there(now)
        process.kill()


def test_only_our_own_program_counts_as_a_process_of_an_entry() -> None:
    words = ["-c", "import signal; signal.pause()", "hotfire.agent.hog", ENTRY]
    with subprocess.Popen([sys.executable, *words]) as process:
        until(lambda: processes.words(process.pid)[1:], within_seconds=10, what="its words")

        found = processes.of_entry("hotfire.agent.hog", ENTRY)

        assert found == []
        process.kill()
