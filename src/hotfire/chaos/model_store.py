"""Where the engines' model comes from: who fills a node's cache of it, and from which store."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from hotfire.chaos.plan import World, engines
from hotfire.cluster import Document
from hotfire.errors import HarnessError

_URL = re.compile(r"https?://([^/\s:\"']+)(?::(\d+))?")


class Store(NamedTuple):
    """A model store, as its clients name it."""

    host: str
    port: int


def fillers(spec: Document, container: str) -> Iterator[tuple[Document, Document]]:
    """Yield each init container that may write where a container reads, with that mount of it.

    Args:
        spec: Of a pod.
        container: Name of the one that reads.
    """
    reads = next(one for one in spec["containers"] if one["name"] == container)
    read = {mount["name"] for mount in reads.get("volumeMounts") or ()}
    for one in spec.get("initContainers") or ():
        for mount in one.get("volumeMounts") or ():
            if mount["name"] in read and not mount.get("readOnly"):
                yield one, mount


def store_of(filler: Document) -> Store:
    """Return the store that fills a cache.

    Raises:
        HarnessError: neither an argument nor a variable of the container is a URL.
    """
    url, found = _told(filler)
    return Store(found[1], int(found[2] or (443 if url.startswith("https") else 80)))


def model_url(world: World) -> str:
    """Return where the engines' store has their model.

    Raises:
        HarnessError: as for ``store_address``.
    """
    store_address(world)
    _, filler, _ = _filled(world)
    url, _ = _told(filler)
    return url


def _told(filler: Document) -> tuple[str, re.Match[str]]:
    """Return the first URL that a container is given, and its parts."""
    words = [*(filler.get("command") or ()), *(filler.get("args") or ())]
    words += [each.get("value") or "" for each in filler.get("env") or ()]
    for word in words:
        if found := _URL.match(word):
            return word, found
    raise HarnessError(f"{filler['name']} names no URL: its store is not known")


def store_address(world: World) -> Store:
    """Return the store of the engines, by an address that packets can be told by.

    Raises:
        HarnessError: no engine is Ready, none has a filler, or its store has no address of its own.
    """
    _, filler, _ = _filled(world)
    store = store_of(filler)
    try:
        IPv4Address(store.host)
    except ValueError as error:
        why = "only an IPv4 address can be told by its packets"
        raise HarnessError(f"the store is named {store.host}; {why}") from error
    return store


def cache_directory(world: World) -> str:
    """Return where the nodes keep the engines' model.

    Raises:
        HarnessError: no engine is Ready, none has a filler, or what it fills is no directory of a
            node.
    """
    spec, filler, mount = _filled(world)
    volume = next(one for one in spec["volumes"] if one["name"] == mount["name"])
    path = (volume.get("hostPath") or {}).get("path")
    if not path:
        raise HarnessError(f"{filler['name']} fills {volume['name']}, which is no hostPath")
    return str(path)


def _filled(world: World) -> tuple[Document, Document, Document]:
    """Return an engine pod's specification, the container that fills its cache, and its mount."""
    ready = [pod for pod in engines(world.cluster, world.profile) if pod.serving]
    found = world.cluster.get("Pod", ready[0].namespace, ready[0].name) if ready else None
    if found is None:
        raise HarnessError("no engine is Ready, so nobody tells where its model comes from")
    filler = next(fillers(found["spec"], world.profile.engine.container), None)
    if filler is None:
        raise HarnessError(
            "no init container of the engines may write a volume of theirs: which store fills the"
            " cache is not known here; fill it by an init container"
        )
    return found["spec"], *filler
