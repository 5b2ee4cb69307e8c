"""Does the load generator reach what it must? Cost, truth, endings, memory, beside its peers.

``python -m bench.instrument [--only rates,stall] [--peers httpx,...] [--quick]`` from the project's
root, on a machine of two cores or more with nothing else to do. A truth server owns one core, each
client's whole process tree another. Takes about 18 minutes; exits 1 if anything is missed.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.best_peer import beside
from bench.clients import KNOWN, peers, present
from bench.endings import endings, stall
from bench.judged import Judged, told
from bench.large import large
from bench.misbehaviours import agreement
from bench.rates import rates


def parts(options: argparse.Namespace) -> dict[str, Callable[[], Iterator[Judged]]]:
    """Return every part of the bench by its name, in their order."""
    quick: bool = options.quick
    found = list(peers([name for name in options.peers.split(",") if name]))
    return {
        "rates": partial(rates, quick=quick),
        "peers": partial(beside, found),
        "endings": partial(endings, found),
        "stall": partial(stall, found),
        "large": partial(large, 200_000 if quick else 10_000_000),
        "agreement": partial(agreement, 500 if quick else 10_000),
    }


def main() -> int:
    """Run the parts one by one, then print what is reached and what is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="parts, with commas; default: all of them")
    parser.add_argument(
        "--peers", default=",".join(present()), help=f"of {', '.join(KNOWN)}; default: %(default)s"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: it proves nothing")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("the bench needs two cores: one for the server, one for the client")
    every = parts(options)
    only = [name for name in options.only.split(",") if name] or list(every)
    if unknown := set(only) - set(every):
        raise SystemExit(f"--only: expected some of {', '.join(every)}, not {', '.join(unknown)}")
    judged: list[Judged] = []
    for name in only:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        for line in every[name]():
            judged.append(line)
            print(": ".join((line.cells()[-1], *line.cells()[:2])), flush=True)
        print(f"({name} took {time.monotonic() - began:.0f} s)", flush=True)
    print(f"\n{told(judged)}", flush=True)
    return 0 if all(line.met for line in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
