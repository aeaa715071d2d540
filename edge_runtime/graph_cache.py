"""Graphs as onnxruntime has optimised them for this CPU, their weights mapped from disk.

    cache = GraphCache(home / "graphs")
    path = cache.find(source, sha256)       # None where there is none that fits
    path = cache.build(source, sha256)      # in another process: optimising takes three times the weights' memory

An fp32 graph so opened loads in milliseconds, and its weights are pages of a file that the system may drop and read
again, where the original takes a second and holds them two or three times over. int8 weights are packed when they are
loaded, one after another and the heaviest first (node_order.py), each from the pages of the file: what is loaded at
most is what stays, where the original is there twice while its last and heaviest weight is packed.

A graph fits one CPU, one onnxruntime and one source; it is known by a key over these, told again in `about.json`, and
its files by their sha256. It is a cache: whatever does not fit is built again, and where it cannot be built the
original serves.
"""

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

from edge_runtime.cpu import cpu_key
from edge_runtime.graph import load_onnxruntime
from edge_runtime.manifest import sha256_of
from edge_runtime.node_order import heaviest_first

__all__ = ["GraphCache"]

GRAPH, WEIGHTS, ABOUT = "graph.onnx", "graph.weights", "about.json"
INLINE_BYTES = 1024
"""Smaller constants stay in the graph's own file."""
BUILD_S = 600

log = logging.getLogger(__name__)


class GraphCache:
    """A folder of optimised graphs, one subfolder each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, sha256: str) -> Path | None:
        """The optimised form of the graph with this sha256 for this CPU; None where there is none, or it is damaged."""
        entry = self._entry(sha256)
        try:
            about = json.loads((entry / ABOUT).read_text(encoding="utf-8"))
            fits = about["cpu"] == cpu_key() and about["source"] == sha256
            fits = fits and all(_is_as_written(entry / name, about["files"][name]) for name in (GRAPH, WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return entry / GRAPH if fits else None

    def build(self, source: Path, sha256: str) -> Path | None:
        """Optimise `source` and keep it, in place of what is there. None (and a log line) where that fails."""
        import subprocess
        import tempfile

        entry = self._entry(sha256)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".part-") as part:
                made = Path(part) / "graph"
                made.mkdir()
                command = [sys.executable, "-m", "edge_runtime.graph_cache", str(source.absolute()), str(made)]
                root = str(Path(__file__).parent.parent)
                done = subprocess.run(  # noqa: S603 - our own module
                    command, cwd=root, capture_output=True, text=True, timeout=BUILD_S, check=False
                )
                if done.returncode:
                    raise OSError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
                files = {name: _description(made / name) for name in (GRAPH, WEIGHTS)}
                about = {"cpu": cpu_key(), "source": sha256, "files": files}
                (made / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
                shutil.rmtree(entry, ignore_errors=True)
                made.rename(entry)
            for old in self.folder.glob(f"{sha256[:16]}-*"):
                if old != entry:  # of an onnxruntime before an update: 300 MB that nothing will read again
                    shutil.rmtree(old, ignore_errors=True)
        except (OSError, subprocess.TimeoutExpired) as error:
            log.warning("the optimised form of %s cannot be kept in %s: %s", source.name, self.folder, error)
            return None
        return entry / GRAPH

    def _entry(self, sha256: str) -> Path:
        return self.folder / f"{sha256[:16]}-{cpu_key()}"


def optimise(source: Path, target: Path) -> None:
    """Write the optimised graph and its weights into the folder `target`."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(target / GRAPH)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(INLINE_BYTES)
    )
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    if not (target / WEIGHTS).exists():  # every constant is small
        (target / WEIGHTS).touch()
    _sort_nodes(target / GRAPH)


def _sort_nodes(graph: Path) -> None:
    """The heaviest weights first, if this onnxruntime opens a file of that order; it stays as it is otherwise."""
    written = graph.read_bytes()
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        graph.write_bytes(heaviest_first(written))
        onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime raises a family of its own without a public base
        graph.write_bytes(written)


def _description(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"sha256": sha256_of(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _is_as_written(path: Path, about: dict[str, Any]) -> bool:
    """Size and time as they were left, or else the very bytes: reading 300 MB at every start would cost what the
    cache saves."""
    stat = path.stat()
    if stat.st_size != about["size"]:
        return False
    return stat.st_mtime_ns == about["mtime_ns"] or sha256_of(path) == about["sha256"]


if __name__ == "__main__":
    optimise(Path(sys.argv[1]), Path(sys.argv[2]))
