"""Who has to go is waited for by nobody: as soon as it is told, an engine ends amid its answers.

All that is declared is right, and where no engine goes, or one without work, nothing is lost.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from hotfire.cluster import Pod
from tests.scaled import scaled
from tests.world import World

prepared = scaled

# It ends with its answer to this request, whatever else it has begun.
_END = """
import json, sys, urllib.request
def post(path, **body):
    url, kind = f"http://{sys.argv[1]}:8000{path}", {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), kind), timeout=5)
post("/admin/config", fatal_text="the last one")
try:
    post("/v1/completions", model=sys.argv[2], prompt="the last one", max_tokens=1)
except OSError:
    pass
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    over = Event()
    with scaled(world), ThreadPoolExecutor(max_workers=1) as pool:
        ending = pool.submit(_end_who_has_to_go, world, over)
        try:
            yield
        finally:
            over.set()
            ending.result()


def _end_who_has_to_go(world: World, over: Event) -> None:
    namespace, ended = world.profile.namespace, set[str]()
    while not over.wait(0.2):
        for pod in world.cluster.pods(namespace, world.profile.engine.selector):
            if pod.deleting and pod.ready and pod.uid not in ended:
                _end(world, pod)
                ended.add(pod.uid)


def _end(world: World, pod: Pod) -> None:
    [asker, *_] = world.cluster.pods(world.profile.namespace, {"app": "canary"})
    argv = ["python3", "-c", _END, pod.ip, world.profile.engine.model]
    done = world.cluster.exec(asker.namespace, asker.name, container="engine", argv=argv)
    assert done.rc == 0, done.stderr
