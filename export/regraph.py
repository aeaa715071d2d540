"""A bundle whose encoder an earlier version wrote -> the same bundle with the graph that this version writes.

    python -m export old-bundle my-bundle --version 1.3.1       # a bundle's folder in a checkpoint's place

For a streaming mn04 in fp32, which is read back out of its graph (training/bundle_encoder.py): the same weights, in
nodes that a device computes faster. All else is copied as it is. What goes out answers what the old graph answers, but
for the order of fp32 sums, and its stream equals the whole clip bit for bit.
"""

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.manifest import FILE as MANIFEST
from edge_runtime.manifest import Profile, digests_of
from edge_runtime.mel import log_mel
from edge_runtime.phrases import default_phrases, digest_of
from edge_runtime.vector_index import VectorIndex
from export.bundle import INDEX, golden_signal
from export.card import regraph_card
from export.stream_mobile_graph import stream_mobile_graph
from export.streaming_verify import MAX_STREAM_ERROR, stream_and_whole
from training.bundle_encoder import has_streaming_mn, profile_of_streaming_mn, streaming_mn_of
from training.gates import Gate, judge

__all__ = ["export_regraph", "is_regraph"]

CARD, INDEX_FILE = "MODEL_CARD.md", "phrases.hnsw"
SIGNALS = 6
"""Times that the golden signal is heard in a row: so the excitations' memories of 2.56 s are filled and go on."""


def is_regraph(folder: Path) -> bool:
    """Whether it is a bundle of which a graph can be written anew."""
    return (folder / MANIFEST).is_file() and has_streaming_mn(folder)


def export_regraph(base: Path, folder: Path, version: str) -> None:
    """Write the whole bundle into the empty `folder`. Raises GateError where the new graph says something else."""
    old = Bundle.open(base, profile=profile_of_streaming_mn(base))
    net = streaming_mn_of(base)
    graph = old.manifest.profile(old.profile).encoder
    for name in old.manifest.files:
        shutil.copyfile(base / name, folder / name)
    states = stream_mobile_graph(net, folder / graph.file)

    def again(profile: Profile) -> Profile:
        return dataclasses.replace(profile, states=states) if profile.encoder == graph else profile

    profiles = {name: again(each) for name, each in old.manifest.profiles.items()}
    manifest = dataclasses.replace(old.manifest, version=version, profiles=profiles, files=digests_of(folder))
    manifest.write(folder)
    new = Bundle(folder, profile=old.profile)  # verified but for the self-test
    sound = np.tile(golden_signal(manifest.mel.rate_hz), SIGNALS)
    frames = log_mel(manifest.mel, new.tables, sound)
    (before, _), (streamed, whole) = (next(stream_and_whole(each, [frames])) for each in (old, new))
    worst = float(np.abs(streamed - before).max()) / float(before.std())
    gates = [
        Gate("stream and whole clip, largest difference", float(np.abs(streamed - whole).max()), 0.0),
        Gate("largest difference with the graph before, in deviations", worst, MAX_STREAM_ERROR),
    ]
    judge(gates)
    phrases = default_phrases(new)
    index = VectorIndex.build(new.embed_text(phrases), INDEX)
    index.save(folder / INDEX_FILE, fingerprint=new.fingerprint, content=digest_of(phrases))
    card = regraph_card(manifest, (base / CARD).read_text(encoding="utf-8"), old.fingerprint)
    (folder / CARD).write_text(card, encoding="utf-8")
    dataclasses.replace(manifest, files=digests_of(folder)).write(folder)
    for name in manifest.profiles:
        Bundle.open(folder, profile=name)
