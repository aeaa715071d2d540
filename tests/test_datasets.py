"""Readers of the papers' collections: small trees with the real names and columns, and what is wrong with bad ones."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_runtime.errors import EarmarkError
from tests.collections_case import (
    SIZES,
    make_activitynet,
    make_archive,
    make_audiocaps,
    make_clotho,
    sentence,
    write_csv,
    write_lists,
    write_pickle,
    write_wav,
)
from tests.conftest import ROOT
from training.__main__ import app
from training.datasets.collection import Collection
from training.datasets.readers import READERS, departures

TEXTS = ROOT.parent / "shared/data/text"


def ids(collection: Collection) -> dict[str, list[str]]:
    return {split: [item.id for item in collection.part(split)] for split in ("train", "val", "test")}


@pytest.mark.parametrize("tables", [True, False], ids=["CSVs and lists", "feature archive"])
def test_audiocaps_has_the_clips_of_the_lists_with_all_their_captions(tmp_path: Path, tables: bool) -> None:
    made = make_audiocaps(tmp_path, tables=tables)
    read = READERS["audiocaps"].read(tmp_path)
    assert ids(read) == made
    assert [len(item.captions) for item in read.part("train")] == [1] * SIZES["train"]
    assert read.part("test")[3].captions == tuple(sentence(3, turn) for turn in range(5))
    assert not read.skipped and not read.notes


def test_audiocaps_975_needs_no_lists_and_takes_every_clip(tmp_path: Path) -> None:
    made = make_audiocaps(tmp_path, lists=False)
    read = READERS["audiocaps-975"].read(tmp_path)
    assert [len(read.part(split)) for split in made] == [len(names) + 1 for names in made.values()]
    with pytest.raises(FileNotFoundError, match=r"final_filtered_test_list\.txt.* is missing"):
        READERS["audiocaps"].read(tmp_path)


def test_audiocaps_without_the_training_list_says_what_it_takes_instead(tmp_path: Path) -> None:
    make_audiocaps(tmp_path)
    (tmp_path / "train_list.txt").unlink()
    read = READERS["audiocaps"].read(tmp_path)
    assert len(read.part("train")) == SIZES["train"] + 1 and len(read.part("test")) == SIZES["test"]
    assert "train_list.txt is not there" in read.notes[0]


def test_audiocaps_2_lies_in_its_own_subfolder(tmp_path: Path) -> None:
    make_audiocaps(tmp_path / "dataset2.0", lists=False)
    assert len(READERS["audiocaps-2.0"].read(tmp_path).part("test")) == SIZES["test"] + 1


def test_a_clip_without_audio_and_an_empty_caption_are_left_out_and_listed(tmp_path: Path) -> None:
    made = make_audiocaps(tmp_path, lists=False)
    for names in made.values():
        for id in names[1:]:
            write_wav(tmp_path / "audio" / f"{id}.wav")
    table = tmp_path / "test.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace(sentence(2, 4), "  "), encoding="utf-8")
    read = READERS["audiocaps-975"].read(tmp_path)
    assert made["test"][0] not in ids(read)["test"] and read.part("test")[0].audio is not None
    reasons = {each.id: each.reason for each in read.skipped if each.split == "test"}
    assert f"no audio {tmp_path / 'audio' / made['test'][0]}.wav" == reasons[made["test"][0]]
    assert str(table) in reasons[made["test"][2]] and "1 of 5 captions empty" in reasons[made["test"][2]]
    assert len(read.part("test")[1].captions) == 4
    told = CliRunner().invoke(app, ["dataset", "audiocaps-975", str(tmp_path)])
    assert told.exit_code == 1 and f"Left out: {len(read.skipped)}" in told.stdout
    assert all(each.reason in told.stdout for each in read.skipped[:20])
    assert f"| test | {SIZES['test'] - 1} | 975 |" in told.stdout


def test_clotho_reads_both_versions_and_says_that_the_sums_differ(tmp_path: Path) -> None:
    made = make_clotho(tmp_path / "2")
    read = READERS["clotho"].read(tmp_path / "2")
    assert ids(read) == made and len(read.part("val")[0].captions) == 5
    assert sum("md5" in note for note in read.notes) == 3

    old = make_clotho(tmp_path / "1", parts={"train": "development", "test": "evaluation"})
    first = READERS["clotho-1"].read(tmp_path / "1")
    held = round(SIZES["train"] * 579 / 2893)
    assert len(first.part("val")) == held and len(first.part("train")) == SIZES["train"] - held
    assert {item.id for item in (*first.part("train"), *first.part("val"))} == set(old["train"])
    assert "drawn here" in first.notes[0] and ids(first) == ids(READERS["clotho-1"].read(tmp_path / "1"))


def test_a_name_in_two_splits_of_clotho_gives_two_clips(tmp_path: Path) -> None:
    made = make_clotho(tmp_path)
    table = tmp_path / "clotho_captions_evaluation.csv"
    table.write_text(table.read_text("utf-8").replace(made["test"][0], made["train"][0]), "utf-8")
    write_wav(tmp_path / f"evaluation/{made['train'][0]}.wav")
    read = READERS["clotho"].read(tmp_path)
    assert ids(read)["test"] == [f"evaluation/{made['train'][0]}"] and ids(read)["train"] == made["train"]
    assert read.part("test")[0].audio == tmp_path / f"evaluation/{made['train'][0]}.wav"
    assert any("clotho_metadata_evaluation.csv lacks 1 clips" in note for note in read.notes)


def test_all_sentences_of_a_video_make_one_query(tmp_path: Path) -> None:
    made = make_activitynet(tmp_path)
    read = READERS["activitynet"].read(tmp_path)
    assert ids(read) == {**made, "val": []}
    assert read.part("test")[1].captions == (f"{sentence(1).capitalize()}. Then {sentence(1, 1)}.",)
    inner = tmp_path / "archive/structured-symlinks"
    write_lists(inner, {"train_list.txt": made["train"], "val_1_list.txt": made["test"]})
    words = {id: [["a", "dog"], ["it", "barks"]] for names in made.values() for id in names}
    write_pickle(inner / "raw-captions-train-val_1.pkl", words)
    assert READERS["activitynet"].read(tmp_path / "archive").part("test")[0].captions == ("a dog it barks",)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("queryd", "raw_captions_combined_filtered.pkl"),
        ("queryd-segments", "split_raw_captions_filtered.pkl"),
        ("sounddescs", "raw-captions.pkl"),
    ],
)
def test_feature_archives_are_read_by_their_lists(tmp_path: Path, name: str, file: str) -> None:
    made = make_archive(tmp_path, file, "x-")
    read = READERS[name].read(tmp_path)
    assert ids(read) == made and read.part("val")[2].captions == (sentence(2),)
    extra = tmp_path / "structured-symlinks/test_list.txt"
    extra.write_text(extra.read_text() + "unheard-of\n")
    skipped = READERS[name].read(tmp_path).skipped
    assert [each.id for each in skipped] == ["unheard-of"] and f"{extra}, line {SIZES['test'] + 1}" in skipped[0].reason


def test_sounddescs_takes_published_descriptions_and_only_clips_with_audio(tmp_path: Path) -> None:
    made = make_archive(tmp_path, "raw-captions.pkl", "070")
    every = [id for names in made.values() for id in names]
    write_pickle(tmp_path / "descriptions.pkl", dict.fromkeys(every, "Two-stroke engine, start."))
    for id in every[1:]:
        write_wav(tmp_path / "audio" / f"{id}.wav")
    read = READERS["sounddescs"].read(tmp_path)
    assert read.part("test")[0].captions == ("Two-stroke engine, start.",)
    assert [each.id for each in read.skipped] == every[:1]


def test_a_folder_of_ones_own_holds_out_recordings_for_validation_and_test(tmp_path: Path) -> None:
    for label in ("kettle", "bell"):
        for i in range(10):
            write_wav(tmp_path / label / f"{i}.wav")
    read = READERS["folder"].read(tmp_path)
    assert [len(read.part(split)) for split in ("train", "val", "test")] == [15, 1, 4]
    assert read.part("test")[0].captions in (("kettle",), ("bell",))


@pytest.mark.shared
@pytest.mark.skipif(not TEXTS.is_dir(), reason=f"the caption corpora are not at {TEXTS}")
def test_the_published_audiocaps_is_as_published(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").symlink_to(TEXTS / f"audiocaps_{split}.csv")
    reader = READERS["audiocaps-975"]
    read = reader.read(tmp_path)
    assert departures(reader, read) == [] and not read.skipped
    assert all(len(item.captions) == 5 for item in (*read.part("val"), *read.part("test")))


class Harmful:
    """What a pickle of a stranger may hold."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo harm",)


def test_a_pickle_that_names_code_is_refused_and_runs_nothing(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    make_archive(tmp_path, "raw-captions.pkl", "x")
    path = tmp_path / "structured-symlinks/raw-captions.pkl"
    write_pickle(path, {"xtrain000": Harmful()})
    with pytest.raises(EarmarkError, match=r"raw-captions\.pkl wants posix\.system"):
        READERS["sounddescs"].read(tmp_path)
    assert "harm" not in capfd.readouterr().out
    path.write_bytes(pickle.dumps({"xtrain000": [["a", "dog"]]})[:-9])
    with pytest.raises(EarmarkError, match=r"raw-captions\.pkl is no whole pickle"):
        READERS["sounddescs"].read(tmp_path)
    write_pickle(path, {"xtrain000": [3]})
    with pytest.raises(ValueError, match=r"key 'xtrain000': a caption is a int"):
        READERS["sounddescs"].read(tmp_path)


COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")


@pytest.mark.parametrize(
    ("columns", "row", "told"),
    [
        (
            ("audiocap_id", "youtube_id", "caption"),
            (1, "a", "b"),
            r"test\.csv, line 1 lacks the columns \['start_time'\]",
        ),
        (COLUMNS, (1, "a"), r"test\.csv, line 2 ends before start_time"),
        (COLUMNS, (1, "a", "soon", "a dog"), r"test\.csv, line 2: youtube_id 'a', start_time 'soon'"),
        (COLUMNS, (1, "", "3", "a dog"), r"test\.csv, line 2: youtube_id ''"),
    ],
)
def test_a_bad_table_is_refused_by_file_line_and_field(
    tmp_path: Path, columns: tuple[str, ...], row: tuple[object, ...], told: str
) -> None:
    make_audiocaps(tmp_path, lists=False)
    write_csv(tmp_path / "test.csv", columns, [row])
    with pytest.raises(ValueError, match=told):
        READERS["audiocaps-975"].read(tmp_path)


def test_bad_lists_and_bad_json_are_refused(tmp_path: Path) -> None:
    make_audiocaps(tmp_path / "a")
    (tmp_path / "a/final_filtered_test_list.txt").write_text("one\ntwo\none\n")
    with pytest.raises(ValueError, match=r"final_filtered_test_list\.txt, line 3: 'one' stands in line 1"):
        READERS["audiocaps"].read(tmp_path / "a")
    make_activitynet(tmp_path / "b")
    (tmp_path / "b/val_1.json").write_text('{"v_1": {"sentence": []}}')
    with pytest.raises(ValueError, match=r"val_1\.json, v_1: the field sentences"):
        READERS["activitynet"].read(tmp_path / "b")
    (tmp_path / "b/val_1.json").write_text('{"v_1": ')
    with pytest.raises(ValueError, match=r"val_1\.json is not JSON"):
        READERS["activitynet"].read(tmp_path / "b")


@pytest.mark.parametrize("name", sorted(READERS))
def test_an_empty_folder_is_told_with_the_file_that_it_lacks(tmp_path: Path, name: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        READERS[name].read(tmp_path)


def test_an_unknown_collection_is_told_what_there_is() -> None:
    result = CliRunner().invoke(app, ["dataset", "music", "."])
    assert isinstance(result.exception, ValueError) and "queryd-segments" in str(result.exception)
