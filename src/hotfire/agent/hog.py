"""The process that takes memory: `python -m hotfire.agent.hog ENTRY KIND JSON`, ended by a signal.

It prints one JSON line per observation and dies with the agent that started it.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from hotfire.agent import cuda, parent
from hotfire.agent.cgroup import MemoryCgroup
from hotfire.agent.host import OperationError

MODULE = "hotfire.agent.hog"
_STEP_BYTES = 1 << 20
# Near the limit a few pages at a time: the write that brings the kernel to kill the engine must end
# there soon, or its next pages make this process the second victim while the first still dies.
_PAGE_BYTES = 16 * 4096
_CLOSE_BYTES = 8 << 20
_PROTECTED = -1000
_ENDING = {signal.SIGTERM, signal.SIGINT}


def main(argv: list[str]) -> int:
    """Take memory of the named kind until there is none left, or until ended."""
    _, kind, text = argv
    args = json.loads(text)
    parent.end_with(args.get("agent_pid", os.getppid()), signal.SIGKILL)
    try:
        if kind == "cgroup":
            fill_cgroup(MemoryCgroup(Path(args["path"]), bool(args["unified"])))
        else:
            fill_device(args)
    except OperationError as error:
        raise SystemExit(str(error)) from None  # one line for the agent instead of a traceback
    return 0


def fill_cgroup(group: MemoryCgroup) -> None:
    """Enter a container's cgroup and write pages there until the kernel kills somebody in it.

    The pages belong to a file in memory that is never mapped: they count against the cgroup but not
    against this process, so that the kernel's choice falls on the engine.
    """
    before, limit = group.oom_kills, group.limit_bytes or 0
    _set_own_oom_score()
    _refuse_to_be_the_victim(group)
    group.enter()
    pages, step, page = os.memfd_create("hotfire-hog"), bytes(_STEP_BYTES), bytes(_PAGE_BYTES)
    filled = 0
    while filled < limit and group.oom_kills == before:
        close = group.usage_bytes + _CLOSE_BYTES > limit
        try:
            filled += os.write(pages, page if close else step)
        except OSError as error:
            tell(refused_write=str(error))
    kills = group.oom_kills
    os.close(pages)
    tell(filled_bytes=filled, oom_kills_before=before, oom_kills=kills, oom=kills > before)


def fill_device(args: dict[str, Any]) -> None:
    """Take all free memory of one GPU, and keep taking what becomes free, until ended."""
    os.environ["CUDA_VISIBLE_DEVICES"] = args["uuid"]
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    with cuda.device(args["library"]) as device:
        while True:
            device.take_all()
            free, total = device.memory()
            tell(taken_bytes=device.taken_bytes, free_bytes=free, total_bytes=total)
            if signal.sigtimedwait(_ENDING, 0.5):
                return


def tell(**observed: object) -> None:
    """Report one observation to the agent."""
    sys.stdout.write(json.dumps(observed) + "\n")
    sys.stdout.flush()


def _set_own_oom_score() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(_PROTECTED), encoding="ascii")
    except OSError:
        # Lowering it takes CAP_SYS_RESOURCE, which a node inside a container may lack.
        tell(oom_score_adj=_oom_score_adj(os.getpid()))


def _refuse_to_be_the_victim(group: MemoryCgroup) -> None:
    own = _oom_score_adj(os.getpid())
    others = [_oom_score_adj(pid) for pid in group.processes if Path(f"/proc/{pid}").exists()]
    if others and own > max(others):
        raise SystemExit(f"the kernel would kill this process first: oom_score_adj {own}")


def _oom_score_adj(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
