"""Teaching a model one's own sound: the folder, the new words, the loop, and the gate that refuses."""

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.background import Background  # noqa: E402
from edge_runtime.bundle import DEFAULT_BUNDLE, Bundle  # noqa: E402
from edge_runtime.errors import AudioError, BundleError  # noqa: E402
from edge_runtime.manifest import Manifest  # noqa: E402
from edge_runtime.phrases import default_phrases  # noqa: E402
from edge_runtime.unit_rows import UnitRows  # noqa: E402
from tests.conftest import ROOT, WINDOWED_BUNDLE, Earmark  # noqa: E402
from tests.test_train import SMALL, WIDTH, made_up_clips, made_up_features, made_up_words  # noqa: E402
from training.features import WINDOW_SEGMENTS, Features  # noqa: E402
from training.finetune import FinetuneConfig, finetune, old_labels  # noqa: E402
from training.finetune_gate import Standing, finetune_gates, standing  # noqa: E402
from training.gates import GateError, judge  # noqa: E402
from training.memory import MEMORY, STEPS, Memory  # noqa: E402
from training.new_words import new_words  # noqa: E402
from training.own_sounds import read_own  # noqa: E402
from training.sounds import Clip  # noqa: E402
from training.text_side import TextSide  # noqa: E402
from training.train import Checkpoint, TrainConfig, train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

QUICK = FinetuneConfig(steps=40, own=8, replayed=16, anchors=16, learning_rate=3e-3, word_rate=1e-2)
PHRASES = ["dog", "rain", "a train", "the siren"]


def record(path: Path, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(16_000 * seconds), np.float32) + 0.1, 16_000)
    return path


def table(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "captions.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def test_subfolders_are_labels_and_a_text_beside_a_recording_its_captions(tmp_path: Path) -> None:
    for i in range(10):
        record(tmp_path / "boiling_kettle" / f"{i}.wav")
    for i in range(5):
        record(tmp_path / f"theremin{i}.wav").with_suffix(".txt").write_text("a theremin wails\neerie music\n")
    clips = read_own(tmp_path)
    kettles = [clip for clip in clips if clip.label == "boiling kettle"]
    wails = [clip for clip in clips if clip.label == "a theremin wails"]
    assert {clip.captions for clip in wails} == {("a theremin wails", "eerie music")}
    assert [sum(clip.split == "test" for clip in each) for each in (kettles, wails)] == [2, 1]  # a fifth of each
    assert read_own(tmp_path) == clips


def test_a_table_says_all_and_keeps_clips_of_one_recording_together(tmp_path: Path) -> None:
    rows = []
    for i in range(20):
        record(tmp_path / f"{i}.wav")
        rows.append({"file": f"{i}.wav", "label": "kettle", "captions": "a kettle | steam", "recording": f"r{i // 2}"})
    record(tmp_path / "not listed.wav")
    table(tmp_path, rows)
    clips = read_own(tmp_path)
    assert len(clips) == 20
    assert clips[0].captions == ("a kettle", "steam")
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip.recording, set()).add(clip.split)
    assert all(len(found) == 1 for found in splits.values())
    assert sum(found == {"test"} for found in splits.values()) == 2


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"file": "../x.wav", "label": "kettle"}, "inside the folder"),
        ({"file": "/etc/passwd", "label": "kettle"}, "inside the folder"),
        ({"file": "gone.wav", "label": "kettle"}, "there is no"),
        ({"file": "0.wav", "label": ""}, "nothing says what"),
        ({"file": "0.wav", "label": "…"}, "no English word"),
        ({"file": "0.wav", "label": "kettle", "split": "later"}, "split is 'later'"),
        ({"file": "0.wav", "label": "kettle", "split": "train"}, "give each clip train or test"),
        ({"name": "0.wav", "label": "kettle"}, "it needs file, and caption or label"),
        ({"file": "0.wav", "sound": "kettle"}, "it needs file, and caption or label"),
        ({"file": "0.wav", "label": "kettle"}, "at least 5 of a label"),
    ],
)
def test_a_table_that_does_not_fit_is_told_by_what_arrived(tmp_path: Path, row: dict[str, str], words: str) -> None:
    record(tmp_path / "0.wav")
    table(tmp_path, [row])
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_own(tmp_path)


def test_a_folder_without_words_or_sound_or_with_a_broken_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_own(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no recording"):
        read_own(tmp_path)
    path = record(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"nothing says what .*a\.txt"):
        read_own(tmp_path)
    path.with_suffix(".txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_own(tmp_path)
    path.with_suffix(".txt").write_text("a bell")
    path.write_bytes(b"RIFF")
    with pytest.raises(AudioError, match="take it out of the folder"):
        read_own(tmp_path)


def test_a_new_word_begins_near_its_spelling_its_parts_or_its_neighbours_and_is_told() -> None:
    words = ["hail", "storm", "woodpecker", "kettles", "wails", "a", "clarinet"]
    vectors = np.eye(7, 300, dtype=np.float32)
    texts = ["a hailstorm", "a clarinettist", "zzq wails", "qxj"]
    hailstorm, clarinettist, beside, alone = new_words(texts, words, vectors, max_words=8)
    assert hailstorm.begins == ("hail", "storm")
    assert clarinettist.begins[0] == "clarinet"
    assert beside.begins == ("wails",)
    assert alone.begins == ()
    assert str(hailstorm) == "'hailstorm' is new: it begins as what it was read as: hail, storm"
    assert "mean of all words" in str(alone)
    assert hailstorm.vector @ vectors[0] > 0.5
    assert not new_words(["a kettle's storm"], [*words, "kettle"], np.eye(8, 300, dtype=np.float32), max_words=8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    clips = made_up_clips()
    config = TrainConfig(**{**vars(SMALL), "epochs": 25, "average": 0.5})
    return train(clips, [made_up_features(clips)], made_up_words(), config, tmp_path_factory.mktemp("trained"))


def own_sounds(trained: Checkpoint, count: int = 20) -> Memory:
    """A label that no training clip has, with a direction of its own; it lies where old texts do not."""
    rng = np.random.default_rng(9)
    direction = np.random.default_rng(5).standard_normal(WIDTH)
    segments = np.zeros((count, WINDOW_SEGMENTS, WIDTH), np.float16)
    segments[:, :16] = direction + 0.5 * rng.standard_normal((count, 16, WIDTH))
    clips = [
        Clip(Path(f"{i}.wav"), "test" if i % 5 == 0 else "train", "zorb", (), f"own{i}", "own", "own", 0.0)
        for i in range(count)
    ]
    features = Features(segments, np.full(count, 16), np.arange(count), np.zeros((count, 3), np.float16))
    return Memory(clips, trained.embed_windows(features), features.clip)


def old_sounds(trained: Checkpoint) -> Memory:
    clips = made_up_clips()
    features = made_up_features(clips)
    return Memory(clips, trained.embed_windows(features), features.clip)


def begun(trained: Checkpoint) -> TextSide:
    """Before the lesson: the word is new."""
    side = TextSide.of_checkpoint(trained)
    return side.with_words(new_words(["zorb"], side.vocabulary, side.words.numpy()[1:], max_words=64))


def taught(trained: Checkpoint, *, replay: bool, config: FinetuneConfig = QUICK) -> tuple[Standing, Standing]:
    start, own, old = begun(trained), own_sounds(trained), old_sounds(trained)
    done = finetune(start, 1, own.of_split("train"), old.of_split("train") if replay else None, config)
    held, asked = own.of_split("test"), old.of_split("test") if replay else None
    before, after = (standing(each, held, asked, PHRASES) for each in (start, done))
    return before, after


@pytest.mark.parametrize("replay", [True, False])
def test_twenty_clips_of_a_word_never_heard_before_are_enough(trained: Checkpoint, replay: bool) -> None:
    before, after = taught(trained, replay=replay)
    assert after.own_r1 >= before.own_r1 + 20
    judge(finetune_gates(before, after))


def test_new_words_change_nothing_that_was_said_of_old_texts(trained: Checkpoint) -> None:
    np.testing.assert_array_equal(begun(trained).embed_text(PHRASES), trained.embed_text(PHRASES))


def test_known_words_stay_bit_for_bit_and_what_began_is_as_it_was(trained: Checkpoint) -> None:
    start = begun(trained)
    before = start.embed_text(PHRASES)
    done = finetune(start, 1, own_sounds(trained).of_split("train"), None, QUICK)
    assert torch.equal(done.words[:-1], start.words[:-1])
    assert not torch.equal(done.words[-1], start.words[-1])
    np.testing.assert_array_equal(start.embed_text(PHRASES), before)
    again = finetune(start, 1, own_sounds(trained).of_split("train"), None, QUICK)
    np.testing.assert_array_equal(again.embed_text(PHRASES), done.embed_text(PHRASES))


def test_a_saved_text_side_answers_as_the_one_that_was_saved(trained: Checkpoint, tmp_path: Path) -> None:
    side = begun(trained)
    side.save(tmp_path / "text.pt")
    loaded = TextSide.load(tmp_path / "text.pt")
    np.testing.assert_array_equal(loaded.embed_text([*PHRASES, "zorb"]), side.embed_text([*PHRASES, "zorb"]))
    with pytest.raises(FileNotFoundError, match="finetune"):
        TextSide.load(tmp_path / "none.pt")


def test_a_bundles_own_weights_answer_as_its_graph_does(bundle: Bundle) -> None:
    """What is left between them is the rounding of activations to 8 bits, whose steps are 1/255 of their range."""
    side, phrases = TextSide.of_bundle(bundle), default_phrases(bundle)
    cosines = (side.embed_text(phrases) * bundle.embed_text(phrases)).sum(axis=1)
    assert cosines.min() > 0.999
    assert side.vocabulary == bundle.tokenizer.words


def test_a_graph_that_is_no_text_encoder_is_refused(bundle_copy: Path) -> None:
    bundle = Bundle.open(bundle_copy)
    manifest = bundle.manifest
    bundle.manifest = dataclasses.replace(manifest, text=dataclasses.replace(manifest.text, graph=manifest.head.graph))
    with pytest.raises(BundleError, match="no text graph that this version knows"):
        TextSide.of_bundle(bundle)


def test_a_memory_keeps_labels_and_embeddings_within_a_step_and_no_text_or_name(
    trained: Checkpoint, tmp_path: Path
) -> None:
    memory = old_sounds(trained)
    memory.save(tmp_path / MEMORY)
    kept = Memory.load(tmp_path / MEMORY)
    assert [(c.label, c.split, c.source) for c in kept.clips] == [(c.label, c.split, c.source) for c in memory.clips]
    assert np.abs(kept.windows - memory.windows).max() <= 1 / STEPS  # a step of the largest number, rounded and scaled
    assert not any(clip.captions for clip in kept.clips)
    content = (tmp_path / MEMORY).read_bytes()
    assert b"dog1.wav" not in content and b"is heard" not in content
    assert len(kept.of_split("val").clips) == 8


def test_the_gate_refuses_what_gains_nothing_or_costs_a_point(trained: Checkpoint) -> None:
    before, after = taught(trained, replay=True)
    with pytest.raises(GateError, match="new sound"):
        judge(finetune_gates(after, after))
    assert before.among_new is not None
    assert before.report is not None
    dearer = dataclasses.replace(after, among_new=before.among_new - 1.5)
    with pytest.raises(GateError, match="old clips among old and new labels"):
        judge(finetune_gates(before, dearer))
    lost = dataclasses.replace(before.report.labels["audio->text"], r1=before.report.labels["audio->text"].r1 - 60)
    report = dataclasses.replace(before.report, labels={**before.report.labels, "audio->text": lost})
    with pytest.raises(GateError, match="mean drop of all"):
        judge(finetune_gates(before, dataclasses.replace(after, report=report)))
    alone = dataclasses.replace(before, report=None)
    astray = dataclasses.replace(after, report=None, phrases=after.phrases[::-1])
    with pytest.raises(GateError, match="default phrases that left their place"):
        judge(finetune_gates(alone, astray))


def test_labels_that_name_ones_own_sound_are_no_rivals() -> None:
    rivals = old_labels(["dog", "zorb"], ["zorb", "extra"])
    assert "dog bark" not in rivals
    assert "zorb" not in rivals
    assert {"siren", "extra"} <= set(rivals)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        FinetuneConfig(steps=0)


def run(module: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)


def test_the_command_refuses_a_folder_in_one_line(tmp_path: Path) -> None:
    done = run("training", "finetune", "--data", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("training: ")
    assert "holds no recording" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def synthesised(folder: Path, name: str, seeds: range) -> list[Path]:
    from edge_runtime import synthesis

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        sound = getattr(synthesis, name)(synthesis.Studio(32_000, seed=seed), 3.0)
        paths.append(folder / f"{name}-{seed}.wav")
        soundfile.write(paths[-1], 0.3 * sound / np.abs(sound).max(), 32_000)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("any_bundle", [DEFAULT_BUNDLE, WINDOWED_BUNDLE], ids=["streaming", "windowed"])
def test_own_sounds_become_an_installed_bundle_that_names_them(
    any_bundle: Path, earmark: Earmark, tmp_path: Path
) -> None:
    """The whole loop by its real commands, with nothing but the shipped bundle and one's own recordings."""
    synthesised(tmp_path / "own" / "zorbulator", "siren", range(20))
    out, bundle = tmp_path / "finetuned", tmp_path / "bundle"
    line = ["finetune", "--data", tmp_path / "own", "--bundle", any_bundle, "--out", out, "--copies", 2]
    done = run("training", *line)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "'zorbulator' is new" in done.stdout
    assert run("training", *line).returncode == 2  # what was learned is not written over
    done = run("export", out, bundle, "--name", "my-earmark")
    assert done.returncode == 0, (done.stdout, done.stderr)
    before, after = Manifest.read(any_bundle), Manifest.read(bundle)
    unchanged = {name for name in before.files.keys() & after.files.keys() if before.files[name] == after.files[name]}
    assert {before.encoder.graph.file, before.head.graph.file, "mel.npz"} <= unchanged
    calibrations = [Background.load(each / "background.npz", width=before.head.width) for each in (any_bundle, bundle)]
    assert np.array_equal(calibrations[0].rows.codes, calibrations[1].rows.codes)
    known, anew = (each.bank for each in calibrations)
    assert (known is None) == (anew is None)
    if known and anew:
        assert known.texts == anew.texts
        assert np.array_equal(anew.rows.codes, UnitRows.of(Bundle.open(bundle).embed_text(anew.texts)).codes)
    assert after.match == before.match
    assert "Made from earmark" in (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert earmark("bundle", "install", bundle).code == 0
    (heard,) = synthesised(tmp_path / "new", "siren", range(50, 51))
    assert earmark("caption", heard, "--json").rows[0]["matches"][0]["phrase"] == "zorbulator"
    assert "zorbulator" in Memory.load(bundle / MEMORY).of_split("val").clips[-1].label
    (out / "finetune.json").write_text((out / "finetune.json").read_text().replace(before.fingerprint, "0" * 16))
    done = run("export", out, tmp_path / "other")
    assert done.returncode == 2 and "fine-tune again" in done.stderr
    assert not (tmp_path / "other").exists()
