"""Put measured tables into README.md, so that none of its numbers is typed.

    python -m benchmarks.readme             # rewrites the README
    python -m benchmarks.readme --check     # exit code 1 if the README differs from what it should say

A table stands between `<!-- NAME -->` and `<!-- end -->`. The `demo` block is what `earmark demo` prints here (the last
digit may differ on another CPU, so it is not checked); the others are taken from the shipped bundle: its card and
manifest, which the export wrote from its own measurements.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.manifest import Manifest

__all__ = ["filled", "tables"]

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> dict[str, str]:
    """Each table's Markdown by its name."""
    card = (DEFAULT_BUNDLE / "MODEL_CARD.md").read_text(encoding="utf-8")
    quality = card.split("### Test split, as shipped\n")[1].split("### ")[0].strip()
    manifest = Manifest.read(DEFAULT_BUNDLE)
    graphs = {"audio encoder": manifest.encoder.graph, "head": manifest.head.graph, "text encoder": manifest.text.graph}
    rows = [f"| {name} | {graph.precision} | {graph.why} |" for name, graph in graphs.items()]
    return {
        "test split": quality,
        "precisions": "\n".join(["| graph | precision | why |", "|---|---|---|", *rows]),
    }


def demo() -> str:
    """The demo's own words, from its first to its last finding."""
    command = [sys.executable, "-m", "edge_runtime", "demo"]
    out = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "88"}
    ).stdout
    shown = out[: out.index("\nNow your own sounds")]
    return f"```\n{shown.rstrip()}\n```"


def filled(text: str, known: dict[str, str]) -> str:
    """README text with the given blocks as they should be; other blocks stay."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}{known[match['name']]}\n{match[3]}" if match["name"] in known else match[0]

    return BLOCK.sub(block, text)


def main() -> int:
    text = README.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        return int(text != filled(text, tables()))
    README.write_text(filled(text, tables() | {"demo": demo()}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
