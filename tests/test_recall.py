"""What a search's text brings to mind: an oracle, what is kept out of it, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import Engine
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle
from edge_runtime.errors import BundleError
from edge_runtime.manifest import Manifest, sha256_of
from edge_runtime.recall import FILE, SHARPNESS, Recall
from edge_runtime.unit_rows import UnitRows

WIDTH = 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def memory_of(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Five windows of three clips, the last of them of the validation split."""
    rng = np.random.default_rng(3)
    kept = {
        "windows": rng.integers(-127, 128, (5, WIDTH), dtype=np.int8),
        "owner": np.array([0, 0, 1, 2, 2], np.int32),
        "splits": np.array(["train", "train", "val"]),
    }
    return {name: value for name, value in (kept | changes).items() if value is not None}


def test_a_text_goes_towards_the_sounds_nearest_to_it_each_text_by_itself() -> None:
    rng = np.random.default_rng(0)
    sounds = UnitRows.of(rng.standard_normal((40, WIDTH)).astype(np.float32))
    texts = unit(rng.standard_normal((6, WIDTH)))
    found = Recall(sounds).towards(texts, share=0.4)
    for text, moved in zip(texts, found, strict=True):
        vectors = sounds.vectors().astype(float)
        heard = np.exp(SHARPNESS * (vectors @ text)) @ vectors
        wanted = text + 0.4 * heard / np.linalg.norm(heard)
        np.testing.assert_allclose(moved, wanted / np.linalg.norm(wanted), atol=1e-5)  # float32 sums of forty
        assert (vectors @ moved).max() > (vectors @ text).max()
    np.testing.assert_array_equal(Recall(sounds).towards(texts[2:3], share=0.4)[0], found[2])
    np.testing.assert_allclose(Recall(sounds).towards(texts, share=0.0), texts, atol=1e-6)


def test_what_a_bundle_was_judged_by_is_not_remembered(tmp_path: Path) -> None:
    kept = memory_of()
    np.savez(tmp_path / FILE, **kept)
    recall = Recall.load(tmp_path / FILE, width=WIDTH)
    assert recall is not None
    np.testing.assert_allclose(recall.sounds.vectors(), unit(kept["windows"][:3].astype(float)), atol=1e-6)
    np.savez(tmp_path / FILE, **memory_of(splits=np.array(["val", "val", "val"])))
    assert Recall.load(tmp_path / FILE, width=WIDTH) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"windows": None},
        {"windows": np.zeros((5, WIDTH), np.int8)},
        {"windows": np.ones((5, WIDTH + 1), np.int8)},
        {"windows": np.ones((5, WIDTH), np.float32)},
        {"owner": np.array([0, 0, 1, 2], np.int32)},
        {"owner": np.array([0, 0, 1, 2, 3], np.int32)},
        {"owner": np.array([0, 0, 1, 2, -1], np.int32)},
        {"owner": np.array([0.0, 0, 1, 2, 2])},
        {"owner": np.array([object()] * 5, object)},
    ],
    ids=["no windows", "zeros", "wide", "floats", "fewer owners", "no such clip", "below 0", "no numbers", "pickled"],
)
def test_a_damaged_memory_is_refused(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / FILE, **memory_of(**changes))
    with pytest.raises(BundleError, match="export the bundle again"):
        Recall.load(tmp_path / FILE, width=WIDTH)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 and no more", b"noise" * 100):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(BundleError, match=r"memory\.npz is damaged"):
            Recall.load(tmp_path / FILE, width=WIDTH)


def resealed(folder: Path, share: float) -> Bundle:
    manifest = Manifest.read(folder)
    replace(manifest, match=replace(manifest.match, recall=share)).write(folder)
    return Bundle.open(folder)


def test_a_search_asks_so_where_the_manifest_says_so_and_plainly_where_it_is_told_to(
    bundle_copy: Path, tmp_path: Path
) -> None:
    text = ["somewhere, a dog"]
    without = resealed(bundle_copy, 0.0)
    np.testing.assert_array_equal(without.queries(text), without.embed_text(text))
    assert "remembered" not in vars(without), "what is not asked for is not read"
    bundle = resealed(bundle_copy, 0.3)
    assert bundle.remembered is not None
    wanted = bundle.remembered.towards(bundle.embed_text(text), share=0.3)
    np.testing.assert_array_equal(bundle.queries(text), wanted)

    engine = Engine.open(bundle_copy, home=tmp_path / "home")
    asked: list[np.ndarray] = []

    class Archive:
        def search(self, query: np.ndarray, **_: object) -> list:
            asked.append(query)
            return []

    engine._archive = Archive  # type: ignore[method-assign, assignment]
    engine.search(text[0])
    engine.search(text[0], plain=True)
    np.testing.assert_array_equal(asked[0], wanted[0])
    np.testing.assert_allclose(asked[1], engine.embed_text(text[0]), atol=1e-6)


def test_words_put_otherwise_lie_nearer_to_the_usual_ones() -> None:
    """Of the shipped bundle, which was found to search better so."""
    bundle = Bundle.open(DEFAULT_BUNDLE)
    assert bundle.manifest.match.recall > 0
    usual = ["a dog barking", "a siren", "heavy rain", "a church bell ringing"]
    otherwise = [f"would there be {text} in it" for text in usual]
    before = np.einsum("te,te->t", bundle.embed_text(usual), bundle.embed_text(otherwise))
    after = np.einsum("te,te->t", bundle.queries(usual), bundle.queries(otherwise))
    assert (after > before).all()


def test_a_bundle_without_a_memory_asks_with_the_text_alone(bundle_copy: Path) -> None:
    (bundle_copy / FILE).unlink()
    manifest = Manifest.read(bundle_copy)
    files = {name: digest for name, digest in manifest.files.items() if name != FILE}
    assert all(sha256_of(bundle_copy / name) == digest for name, digest in files.items())
    replace(manifest, files=files).write(bundle_copy)
    bundle = resealed(bundle_copy, 0.3)
    assert bundle.remembered is None
    np.testing.assert_array_equal(bundle.queries(["a dog"]), bundle.embed_text(["a dog"]))
