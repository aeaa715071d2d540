"""An older bundle's encoder graph written anew: the same answers, in this version's nodes."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the export extra")

import export.stream_mobile_graph as writer  # noqa: E402
import training.stream_mn as network  # noqa: E402
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle  # noqa: E402
from edge_runtime.manifest import Manifest, digests_of  # noqa: E402
from export import regraph  # noqa: E402
from export.__main__ import run  # noqa: E402
from export.streaming_verify import MAX_STREAM_ERROR  # noqa: E402
from training.bundle_encoder import streaming_mn_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

GRAPH = "audio_encoder.light.onnx"
INDEX = ("phrases.hnsw", "phrases.hnsw.json")
"""Built anew of the same texts: the same bytes where the processor adds fp32 as that of the shipped bundle did."""
APART = 1e-5
"""Cosines of unit vectors: fp32 sums in another order part them by 1e-7."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The default bundle as versions before 1.3.1 wrote it: one channel counts an excitation's columns."""
    folder = tmp_path / "old"
    shutil.copytree(DEFAULT_BUNDLE, folder)
    net = streaming_mn_of(DEFAULT_BUNDLE)
    with pytest.MonkeyPatch.context() as patch:
        for module in (writer, network):
            patch.setattr(module, "COUNTERS", 1)
        states = writer.stream_mobile_graph(net, folder / GRAPH)
    manifest = Manifest.read(folder)
    profiles = {name: dataclasses.replace(each, states=states) for name, each in manifest.profiles.items()}
    dataclasses.replace(manifest, version="1.2.9", profiles=profiles, files=digests_of(folder)).write(folder)
    return folder


def test_an_old_bundle_becomes_one_of_this_version(old: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert (old / GRAPH).read_bytes() != (DEFAULT_BUNDLE / GRAPH).read_bytes()
    assert run([str(old), str(made), "--version", "1.3.1"]) == 0
    assert (made / GRAPH).read_bytes() == (DEFAULT_BUNDLE / GRAPH).read_bytes()
    before, after, shipped = (Manifest.read(folder) for folder in (old, made, DEFAULT_BUNDLE))
    assert after.profiles == shipped.profiles and after.version == "1.3.1"
    kept = {name for name, digest in before.files.items() if after.files[name] == digest}
    written = before.files.keys() - kept
    assert {GRAPH, "MODEL_CARD.md"} <= written <= {GRAPH, "MODEL_CARD.md", *INDEX}
    assert after.fingerprint == shipped.fingerprint != before.fingerprint  # the old one kept the shipped phrases' index
    assert f"({before.fingerprint}), written anew" in (made / "MODEL_CARD.md").read_text()


def test_it_hears_what_the_old_one_heard(old: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    regraph.export_regraph(old, made, "1.3.1")
    rng = np.random.default_rng(0)
    sound = (rng.normal(0, 0.1, 32_000 * 9) * np.repeat(rng.uniform(0, 1, 9), 32_000)).astype(np.float32)
    segments = []
    for folder in (old, made):
        bundle = Bundle.open(folder)
        mel = bundle.log_mel()
        segments.append(bundle.whole_clip(np.concatenate((mel.push(sound), mel.flush()))))
    assert np.abs(segments[0] - segments[1]).max() < MAX_STREAM_ERROR * segments[0].std()
    embeddings = [
        Bundle.open(folder).embed_segments(rows[:16]) for folder, rows in zip((old, made), segments, strict=True)
    ]
    assert float(embeddings[0] @ embeddings[1]) > 1 - APART


def test_a_graph_that_answers_something_else_leaves_no_bundle(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net = streaming_mn_of(old)
    with torch.no_grad():
        net.net.features[-1][0].weight *= 1.001
    monkeypatch.setattr(regraph, "streaming_mn_of", lambda _: net)
    assert run([str(old), str(tmp_path / "made")]) == 1
    assert "largest difference with the graph before" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
