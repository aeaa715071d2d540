"""A bundle is loaded whole or refused, whatever is wrong with it; an index that does not fit is made again."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import WINDOWED_BUNDLE

from edge_runtime import Bundle, Engine
from edge_runtime.bundle import DEFAULT_BUNDLE
from edge_runtime.errors import BundleError
from edge_runtime.home import Home
from edge_runtime.manifest import Manifest, sha256_of
from edge_runtime.phrases import default_phrases, digest_of
from edge_runtime.vector_index import VectorIndex

FILES = sorted(Manifest.read(DEFAULT_BUNDLE).files)
UNREAD = ("MODEL_CARD", "phrases.hnsw", "memory.npz", "retrieval.json")
SEALED = [name for name in FILES if not name.startswith(UNREAD)]
"""What the runtime cannot do without. The index is a cache: that one may be absent, and has a description of its own.
The card, the memory of training and what was measured are not the runtime's; only their hashes are checked."""


@pytest.fixture(params=[DEFAULT_BUNDLE, WINDOWED_BUNDLE], ids=["streaming", "windowed"])
def either_copy(request, tmp_path):
    """A copy of a streaming bundle and of a windowed one, to spoil."""
    return Path(shutil.copytree(request.param, tmp_path / "bundle"))


def _reseal(folder, **changes):
    """Write the manifest again with other values and right hashes."""
    manifest = dataclasses.replace(Manifest.read(folder), **changes)
    files = {name: sha256_of(folder / name) for name in manifest.files}
    dataclasses.replace(manifest, files=files).write(folder)


def _edit(folder, change):
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    data.pop("sha256", None)
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_bundle_with_one_bit_flipped_is_refused(name, where, bundle_copy):
    path = bundle_copy / name
    data = bytearray(path.read_bytes())
    data[int(where * (len(data) - 1))] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} is damaged: sha256 .* copy the bundle again"):
        Bundle.open(bundle_copy)


def test_manifest_with_one_bit_flipped_is_refused_wherever_it_is(bundle_copy):
    """Every fifth byte, for time. A flip in the white space alone may leave what it says."""
    manifest = Manifest.read(bundle_copy)
    manifest.write(bundle_copy)
    path = bundle_copy / "manifest.json"
    whole = path.read_bytes()
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            assert Manifest.read(bundle_copy) == manifest, f"byte {at} makes another manifest"
        except BundleError:
            continue


@pytest.mark.parametrize("name", sorted({*SEALED, "manifest.json"} - {"phrases.jsonl"}))
@pytest.mark.parametrize("content", [b"", b"rubbish " * 100, b'{"words": 3}', b"[" * 100_000], ids=range(4))
def test_bundle_with_rubbish_in_a_file_is_refused_even_if_its_hash_is_right(name, content, bundle_copy):
    (bundle_copy / name).write_bytes(content)
    if name != "manifest.json":
        _reseal(bundle_copy)
    with pytest.raises(BundleError):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("content", [b"rubbish", b"{}\n", b"[3]\n", b"\xff"])
def test_bundle_with_rubbish_for_phrases_is_refused_even_if_its_hash_is_right(content, bundle_copy):
    (bundle_copy / "phrases.jsonl").write_bytes(content)
    _reseal(bundle_copy)
    with pytest.raises(BundleError, match=r"phrases.jsonl cannot be read"):
        Engine.open(bundle_copy)


@pytest.mark.parametrize("name", ["golden.npz", "mel.npz"])
def test_bundle_whose_arrays_have_other_shapes_is_refused(name, bundle_copy):
    arrays = {key: value[..., :-3] for key, value in np.load(bundle_copy / name).items()}
    np.savez(bundle_copy / name, **arrays)
    _reseal(bundle_copy)
    with pytest.raises(BundleError):
        Bundle.open(bundle_copy)


def test_bundle_that_answers_otherwise_on_this_machine_is_refused(either_copy):
    arrays = dict(np.load(either_copy / "golden.npz"))
    for name in [name for name in arrays if name.startswith("embedding")]:
        arrays[name] = np.roll(arrays[name], 1)
    np.savez(either_copy / "golden.npz", **arrays)
    _reseal(either_copy)
    with pytest.raises(BundleError, match=r"self-test .* failed"):
        Bundle.open(either_copy)


def test_bundle_whose_graphs_have_other_shapes_than_its_manifest_is_refused(either_copy):
    """The text encoder is opened first."""
    manifest = Manifest.read(either_copy)
    _reseal(either_copy, head=dataclasses.replace(manifest.head, width=manifest.head.width // 2))
    with pytest.raises(BundleError, match=f"{manifest.text.graph.file} has the outputs .*export it again"):
        Bundle.open(either_copy)


def test_bundle_whose_graphs_are_swapped_is_refused(either_copy):
    manifest = Manifest.read(either_copy)
    encoder = manifest.encoder.graph
    swapped = dataclasses.replace(manifest.head, graph=encoder)
    profiles = {name: dataclasses.replace(each, head=encoder) for name, each in manifest.profiles.items()}
    _reseal(either_copy, head=swapped, profiles=profiles)
    with pytest.raises(BundleError, match="has the inputs"):
        Bundle.open(either_copy)


@pytest.mark.parametrize("name", FILES)
def test_bundle_that_lacks_a_file_is_refused(name, bundle_copy):
    (bundle_copy / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("name", SEALED)
def test_bundle_that_leaves_a_file_unsealed_is_refused(name, bundle_copy):
    _edit(bundle_copy, lambda data: data["files"].pop(name))
    with pytest.raises(BundleError, match=f"no sha256 for {name}"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("schema", [0, 2, "1", None, [1], True])
def test_bundle_of_another_version_is_refused(schema, bundle_copy):
    _edit(bundle_copy, lambda data: data.update(schema=schema))
    with pytest.raises(BundleError):
        Bundle.open(bundle_copy)


def test_bundle_with_an_unknown_key_is_refused(bundle_copy):
    _edit(bundle_copy, lambda data: data["window"].update(overlap=0.5))
    with pytest.raises(BundleError, match=r"unknown keys \['overlap'\], missing keys \[\]"):
        Bundle.open(bundle_copy)


def test_bundle_with_a_missing_key_is_refused(bundle_copy):
    _edit(bundle_copy, lambda data: data["mel"].pop("hop_samples"))
    with pytest.raises(BundleError, match=r"manifest.mel: unknown keys \[\], missing keys \['hop_samples'\]"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", ".", "", "manifest.json", "a\0b", "x" * 300])
def test_manifest_that_names_a_path_is_refused(name, bundle_copy):
    """The bundle may come from anywhere: it reads nothing outside its folder."""
    _edit(bundle_copy, lambda data: data["files"].update({name: "0" * 64}))
    with pytest.raises(BundleError, match="only plain names inside the bundle are read"):
        Bundle.open(bundle_copy)


def test_bad_bundles_are_refused_by_the_command(bundle_copy, earmark, recordings):
    sound = recordings / "five.wav"
    assert earmark("caption", sound, "--bundle", recordings).refused("no bundle", "manifest.json")
    path = bundle_copy / "text_encoder.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert earmark("caption", sound, "--bundle", bundle_copy).refused("text_encoder.onnx", "damaged")
    _edit(bundle_copy, lambda data: data.update(schema=2))
    assert earmark("bundle", "info", "--bundle", bundle_copy).refused("schema 2", "update earmark")


# --- indexes


def _foreign_index(path, bundle, texts, *, fingerprint):
    """An index of the right form whose vectors belong to nothing."""
    rows = np.random.default_rng(0).standard_normal((len(texts), bundle.manifest.head.width)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    VectorIndex.build(rows, bundle.manifest.index).save(path, fingerprint=fingerprint, content=digest_of(texts))


def test_an_index_made_by_another_model_is_made_again_with_a_note_and_never_used(bundle, earmark, recordings):
    added = "a dog barking on a far hill"
    store = Home.open(earmark.home)
    store.keep_phrases([added], kept=True)
    texts = [*default_phrases(bundle), added]
    _foreign_index(store.index_file(bundle.fingerprint), bundle, texts, fingerprint="0" * 16)
    store.close()
    expected = Engine.open(phrases=texts).caption(recordings / "five.wav", k=5)
    ran = earmark("caption", "--json", "--top", 5, recordings / "five.wav")
    assert ran.code == 0
    (note,) = ran.faults
    assert "made again" in note and "another model" in note
    assert ran.rows[0]["matches"] == [
        {"phrase": one.phrase, "score": round(one.score, 4), "heard": one.heard} for one in expected
    ]


@pytest.mark.parametrize("damage", ["flip", "cut", "no description", "rubbish description", "another count", "gone"])
def test_a_damaged_index_is_made_again(damage, bundle, home, caplog):
    texts = ["a dog barking", "rain", "an axe chopping wood"]
    store = Home.open(home)
    path = store.index_file(bundle.fingerprint)
    store.keep_phrases(default_phrases(bundle), kept=False)
    store.keep_phrases(texts, kept=True)
    right = Engine.open(home=home).phrases
    assert sorted(right) == sorted(texts)
    about = path.with_name(path.name + ".json")
    data = bytearray(path.read_bytes())
    match damage:
        case "flip":
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "no description":
            about.unlink()
        case "rubbish description":
            about.write_text("[" * 100_000)
        case "another count":
            about.write_text(about.read_text().replace('"count": 3', '"count": 2'))
        case "gone":
            path.unlink()
    again = Engine.open(home=home).phrases
    query = bundle.embed_text(["dogs"])[0]
    assert again.match(query, k=3) == right.match(query, k=3)
    assert bool(caplog.records) == (damage != "gone"), "an index that is absent is no news"
    caplog.clear()
    Engine.open(home=home)
    assert not caplog.records, "the new index was kept"


def test_an_index_of_the_bundle_made_by_another_model_is_not_used(bundle, bundle_copy, caplog):
    _foreign_index(bundle_copy / "phrases.hnsw", bundle, default_phrases(bundle), fingerprint="0" * 16)
    _reseal(bundle_copy)
    query = bundle.embed_text(["dogs"])[0]
    assert Engine.open(bundle_copy).phrases.match(query, k=3) == Engine.open().phrases.match(query, k=3)
    assert "another model" in caplog.text


def test_a_bundle_without_an_index_embeds_its_phrases(bundle, bundle_copy):
    _edit(bundle_copy, lambda data: [data["files"].pop(name) for name in ("phrases.hnsw", "phrases.hnsw.json")])
    for name in ("phrases.hnsw", "phrases.hnsw.json"):
        (bundle_copy / name).unlink()
    query = bundle.embed_text(["dogs"])[0]
    assert Engine.open(bundle_copy).phrases.match(query, k=3) == Engine.open().phrases.match(query, k=3)
