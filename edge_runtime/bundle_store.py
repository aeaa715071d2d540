"""The bundles that a home holds, and which of them is active.

    store = BundleStore(home)
    store.install(Path("my-bundle"))        # a folder, .tar.gz or .zip: copied, verified whole, then made active
    store.rollback()                        # to the one before
    chosen_bundle(None, home).folder        # what a command without --bundle runs, and why

    home/bundles/<name>-<fingerprint>/      one folder a bundle, never changed once it is there
    home/bundles/active.json                the history, the active one last; null is the package's own bundle

Nothing that is half done is ever active: a bundle is written into a folder of its own, verified there, renamed, and
only then named by `active.json`, which a rename replaces. What a killed install leaves is cleared by the next one.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle, check_all_files
from edge_runtime.errors import BundleError, HomeError
from edge_runtime.manifest import Manifest, sha256_of

__all__ = ["BundleStore", "Chosen", "Installed", "chosen_bundle", "telling_the_way_back"]

POINTER, LOCK, PART = "active.json", ".lock", ".part-"
MAX_NAME = 64
MAX_HISTORY = 16
UNSAFE = re.compile(r"[^A-Za-z0-9._]+")


@dataclass(frozen=True)
class Chosen:
    """The bundle that a command runs. `installed`: it is the home's active one."""

    folder: Path
    why: str
    installed: bool


@dataclass(frozen=True)
class Installed:
    """A bundle of the home; `fault` says why it cannot be read, where it cannot."""

    name: str
    active: bool
    fault: str


class BundleStore:
    """`folder` is the home's `bundles`."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "bundles"

    def history(self) -> list[str | None]:
        """What was active, oldest first; the last one is. Raises BundleError where active.json is damaged."""
        path = self.folder / POINTER
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))["history"]
        except (FileNotFoundError, NotADirectoryError):  # no home yet, or no folder: whoever writes to it will say so
            return [None]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BundleError(f"{path} cannot be read ({error}): install the bundle again") from error
        if not isinstance(kept, list) or not kept or not all(each is None or _is_plain(each) for each in kept):
            raise BundleError(f"{path} is no list of bundles: install the bundle again")
        return kept

    def active(self) -> Path | None:
        """The active bundle's folder; None for the package's own."""
        name = self.history()[-1]
        return self.folder / name if name else None

    def installed(self) -> list[Installed]:
        active = self.history()[-1]
        if not self.folder.is_dir():
            return []
        names = sorted(each.name for each in self.folder.iterdir() if each.is_dir() and not each.name.startswith("."))
        return [Installed(name, name == active, _fault(self.folder / name)) for name in names]

    def install(self, source: Path) -> str:
        """Copy and verify a bundle, make it active, and return its name here. The old one stays for `rollback`.

        Raises BundleError, and nothing has changed, where `source` is no whole bundle or fails its self-test.
        """
        import tempfile

        from edge_runtime.bundle_archive import unpack  # every listener reads this module, few ever unpack

        with self._writing(), tempfile.TemporaryDirectory(dir=self.folder, prefix=PART) as scratch:
            made = Path(scratch) / "bundle"
            made.mkdir()
            if source.is_dir():
                _copy(source, made)
            elif source.is_file():
                packed = Path(scratch) / "unpacked"
                packed.mkdir()
                unpack(source, packed)
                _copy(packed, made)
            else:
                raise BundleError(f"there is no bundle {source}: give a folder that export wrote, its .tar.gz or .zip")
            _verify(made)
            name = self._place(made)
            history = self._known_history()
            if history[-1] != name:
                self._point([*history, name])
        return name

    def rollback(self) -> str | None:
        """Make the bundle before the active one active again; return its name, None for the package's own."""
        with self._writing():
            history = self.history()
            if len(history) < 2:
                raise BundleError("no bundle was active before this one: see `earmark bundle list`")
            if name := history[-2]:
                _verify(self.folder / name)
            self._point(history[:-1])
        return name

    def remove(self, name: str) -> None:
        """Delete a bundle that is not active."""
        with self._writing():
            history = self.history()
            if not _is_plain(name) or not (self.folder / name).is_dir():
                raise BundleError(f"no bundle {name!r} is installed here: see `earmark bundle list`")
            if history[-1] == name:
                raise BundleError(f"{name} is active: run `earmark bundle rollback` first, or install another")
            rest = [each for each in history if each != name]
            self._point([each for place, each in enumerate(rest) if not place or each != rest[place - 1]])
            shutil.rmtree(self.folder / name)

    def _place(self, made: Path) -> str:
        """Rename a verified bundle to where it stays. One that is there, whole and the same, is kept as it is."""
        manifest = Manifest.read(made)
        name = f"{UNSAFE.sub('-', manifest.name)[:MAX_NAME].strip('.-') or 'bundle'}-{manifest.fingerprint}"
        digest = sha256_of(made / "manifest.json")
        there = self.folder / name
        if there.exists() and _digest(there) not in ("", digest):  # the same model with other phrases or another card
            name = f"{name}-{digest[:8]}"
            there = self.folder / name
        if there.exists():
            if not _fault(there):
                return name
            shutil.rmtree(there)  # damaged: nothing could run it
        made.rename(there)
        _sync(self.folder)
        return name

    def _known_history(self) -> list[str | None]:
        """The history, or a new one where it is damaged: an install is the way out of that."""
        try:
            return self.history()
        except BundleError:
            return [None]

    def _point(self, history: list[str | None]) -> None:
        part = self.folder / f"{PART}{POINTER}"
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"history": history[-MAX_HISTORY:]}, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.folder / POINTER)
        _sync(self.folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time; what a killed one left is cleared."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOCK).open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise HomeError(f"another command is changing {self.folder}: try again when it is done") from error
                for left in self.folder.glob(f"{PART}*"):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
                yield
        except OSError as error:
            raise HomeError(
                f"the bundles in {self.folder} cannot be changed ({error}): free some disk, or choose another --home"
            ) from error


def chosen_bundle(given: str | Path | None, home: str | Path | None) -> Chosen:
    """What runs: the bundle that was given, else the home's active one, else the package's."""
    if given is not None:
        return Chosen(Path(given), "given with --bundle", installed=False)
    if home is None:
        return Chosen(DEFAULT_BUNDLE, "the package's own", installed=False)
    store = BundleStore(Path(home).expanduser())
    active = store.active()
    if active is None:
        return Chosen(DEFAULT_BUNDLE, f"the package's own: no other is active in {store.folder}", installed=False)
    return Chosen(active, f"active in {store.folder}", installed=True)


@contextmanager
def telling_the_way_back(chosen: Chosen) -> Iterator[None]:
    """A fault of the active bundle says how to get rid of it."""
    try:
        yield
    except BundleError as error:
        if not chosen.installed:
            raise
        raise BundleError(
            f"the active bundle cannot be used ({error}): go back with `earmark bundle rollback`, or install it again"
        ) from error


def _copy(source: Path, made: Path) -> None:
    """The files that the manifest names, and no others, each on the disk before its folder gets a name."""
    from edge_runtime.bundle_archive import MAX_BYTES, MAX_FILES

    manifest = Manifest.read(source)
    if len(manifest.files) > MAX_FILES:
        raise BundleError(
            f"{source} has {len(manifest.files)} files, at most {MAX_FILES} are a bundle: export it again"
        )
    left = MAX_BYTES
    for name in ("manifest.json", *manifest.files):
        path = source / name
        if not path.is_file():
            raise BundleError(f"{source} lacks {name}, which its manifest lists: copy or export the bundle again")
        left -= path.stat().st_size
        if left < 0:
            raise BundleError(f"{source} has more than {MAX_BYTES} bytes: that is no bundle: export it again")
        with path.open("rb") as file, (made / name).open("xb") as out:
            shutil.copyfileobj(file, out)
            out.flush()
            os.fsync(out.fileno())
    _sync(made)


def _verify(folder: Path) -> None:
    """Every file against the manifest, then the self-test on this CPU, which ends every opening."""
    check_all_files(folder)
    Bundle.open(folder)


def _fault(folder: Path) -> str:
    try:
        check_all_files(folder)
    except BundleError as error:
        return str(error)
    return ""


def _digest(folder: Path) -> str:
    try:
        return sha256_of(folder / "manifest.json")
    except OSError:
        return ""


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and not name.startswith(".") and name.isprintable()


def _sync(folder: Path) -> None:
    """What was renamed into a folder is there after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
