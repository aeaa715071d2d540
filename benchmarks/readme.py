"""Put measured tables into README.md, so that none of its numbers is typed.

    python -m benchmarks.readme             # rewrites the README
    python -m benchmarks.readme --check     # exit code 1 if the README differs from what it should say

A table stands between `<!-- NAME -->` and `<!-- end -->`. The `demo` block is what `earmark demo` prints here (the last
digit may differ on another CPU, so it is not checked); the others are taken from the shipped bundle: from what
`python -m benchmarks.cards` measured of it, and from its manifest.
"""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.blocks import filled, markdown_rows, of_title
from benchmarks.kept import NOT_YET, kept, tables_of
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.manifest import Manifest

__all__ = ["fill", "filled", "tables"]

README = Path(__file__).parents[1] / "README.md"
MEASURED = {
    "test split": ("top-1 among the class names", "the test split, both directions"),
    "field": ("the test split as the field would have it",),
    "rules": ("which rule hears more",),
    "search": ("a search of",),
    "lines": ("the lines that it should hold",),
}
"""By block: how the titles of its tables begin."""


def tables() -> dict[str, str]:
    """Each table's Markdown by its name."""
    known = kept(DEFAULT_BUNDLE)
    measured = tables_of(known) if known else []
    blocks = {
        name: "\n\n".join(markdown_rows(of_title(measured, title)) for title in titles) if measured else NOT_YET
        for name, titles in MEASURED.items()
    }
    manifest = Manifest.read(DEFAULT_BUNDLE)
    graphs = {"audio encoder": manifest.encoder.graph, "head": manifest.head.graph, "text encoder": manifest.text.graph}
    rows = [f"| {name} | {graph.precision} | {graph.why} |" for name, graph in graphs.items()]
    return blocks | {"precisions": "\n".join(["| graph | precision | why |", "|---|---|---|", *rows])}


def demo() -> str:
    """The demo's own words, from its first to its last finding."""
    command = [sys.executable, "-m", "edge_runtime", "demo"]
    out = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "88"}
    ).stdout
    shown = out[: out.index("\nNow your own sounds")]
    return f"```\n{shown.rstrip()}\n```"


def fill(*, with_demo: bool = False) -> None:
    """Write the README's blocks."""
    known = tables() | ({"demo": demo()} if with_demo else {})
    README.write_text(filled(README.read_text(encoding="utf-8"), known), encoding="utf-8")


def main() -> int:
    text = README.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        return int(text != filled(text, tables()))
    fill(with_demo=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
