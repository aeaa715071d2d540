"""Earmark on an emulated board: installed from the wheelhouse as a person would, then used.

board = Board.install(root, Path("wheelhouse"))
board.earmark("doctor", cpu="cortex-a53")
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arm64.root import CommandFailed, Root

__all__ = ["Board"]

VENV = "/opt/earmark"
WHEELHOUSE = "/wheelhouse"


@dataclass(frozen=True)
class Board:
    root: Root
    report: str
    """What the installation found, in a line."""

    @classmethod
    def install(cls, root: Root, wheelhouse: Path) -> "Board":
        """A new virtual environment with Earmark from wheels alone. Raises CommandFailed where the root has a compiler
        or headers, which would hide a missing wheel, and where pip lacks something."""
        if compilers := root.compilers():
            raise CommandFailed(f"{root.folder} holds {', '.join(compilers[:5])}: with a compiler nothing is proved")
        if (root.folder / "usr/include").exists():
            raise CommandFailed(f"{root.folder}/usr/include exists: a board has no headers")
        inside = root.folder / WHEELHOUSE[1:]
        for folder in (inside, root.folder / VENV[1:]):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(wheelhouse, inside)
        root.run([root.python, "-m", "venv", "--without-pip", VENV])
        flags = ["--no-index", f"--find-links={WHEELHOUSE}", "--only-binary=:all:", "--no-cache-dir", "--no-compile"]
        said = root.run([f"{VENV}/bin/python", root.pip, "install", "--disable-pip-version-check", *flags, "earmark"])
        shutil.rmtree(inside)
        packages = re.search(r"^Successfully installed (.*)$", said, re.MULTILINE)
        count = len(packages[1].split()) if packages else 0
        return cls(root, f"{count} packages from wheels; no compiler, no headers, no network")

    @property
    def site_packages(self) -> Path:
        """As the board names it."""
        return Path(VENV) / f"lib/python{self.root.system.python_version}/site-packages"

    def python(self, *arguments: str, cpu: str) -> str:
        return self.root.run([f"{VENV}/bin/python", *arguments], cpu=cpu)

    def earmark(self, *arguments: str, cpu: str) -> str:
        return self.python(f"{VENV}/bin/earmark", *arguments, cpu=cpu)
