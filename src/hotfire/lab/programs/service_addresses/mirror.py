"""The newest state of all objects of a kind, kept by a watch in a thread of its own."""

import threading

from hotfire.lab.programs.network_policy.watch import Api, Object, Sink, follow


class Mirror:
    """All objects of one path; ``changed`` is set whenever one of them is another than before."""

    def __init__(self, changed: threading.Event) -> None:
        self.listed = False
        self._changed = changed
        self._lock = threading.Lock()
        self._objects: dict[str, Object] = {}

    def follow(self, api: Api, path: str) -> None:
        """Start to keep up with the API server."""
        sink = Sink(replace=self.replace, change=self.change)
        words = (api, path, sink, threading.Event())
        threading.Thread(target=follow, args=words, daemon=True).start()

    def objects(self) -> list[Object]:
        with self._lock:
            return list(self._objects.values())

    def replace(self, items: list[Object]) -> None:
        with self._lock:
            self._objects = {item["metadata"]["uid"]: item for item in items}
        self.listed = True
        self._changed.set()

    def change(self, event: str, item: Object) -> None:
        uid = item["metadata"]["uid"]
        with self._lock:
            if event == "DELETED":
                self._objects.pop(uid, None)
            elif _version(item) >= _version(self._objects.get(uid)):
                # What we wrote ourselves is known before the watch tells of what was before it.
                self._objects[uid] = item
        self._changed.set()


def _version(item: Object | None) -> int:
    return int(item["metadata"]["resourceVersion"]) if item else 0
