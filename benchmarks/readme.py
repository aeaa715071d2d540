"""Put measured tables into README.md, so that none of its numbers is typed.

    python -m benchmarks.readme             # rewrites the README
    python -m benchmarks.readme --check     # exit code 1 if the README differs from what it should say

A table stands between `<!-- NAME -->` and `<!-- end -->`; it is taken from the shipped bundle: its model card and its
manifest, which the export wrote from its own measurements.
"""

import re
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


def filled(text: str) -> str:
    """README text with every table as it should be. Raises KeyError on a table that nothing measures."""
    known = tables()
    return BLOCK.sub(lambda match: f"{match[1]}{known[match['name']]}\n{match[3]}", text)


def main() -> int:
    text = README.read_text(encoding="utf-8")
    wanted = filled(text)
    if "--check" in sys.argv:
        return int(text != wanted)
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
