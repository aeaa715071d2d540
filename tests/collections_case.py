"""Small trees shaped as the papers' collections: real file names, columns and layouts; words and sounds are made up.

make_audiocaps(tmp_path / "AudioCaps"); make_clotho(tmp_path / "CLOTHO"); …
make_everything(tmp_path)       # the whole folder that `python -m training experiment --data` takes, features and words
"""

import csv
import json
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import soundfile

SIZES = {"train": 16, "val": 6, "test": 8}
THINGS = ("dog", "cat", "train", "bell", "kettle", "door", "engine", "river")
DEEDS = ("barks", "meows", "passes", "rings", "whistles", "slams", "hums", "flows")
PLACES = ("in a yard", "in a house", "far away", "twice", "in the rain", "at night")


def sentence(number: int, variant: int = 0) -> str:
    """Captions of clip `number`: what sounds is the same in all, how it is said is not."""
    sound = number % len(THINGS)
    return f"a {THINGS[sound]} {DEEDS[sound]} {PLACES[(number // len(THINGS) + variant) % len(PLACES)]}"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_wav(path: Path, seconds: float = 0.2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(round(seconds * 8000)) * 0.3) * 0.1
    soundfile.write(path, tone.astype(np.float32), 8000)


def write_pickle(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))


def write_lists(folder: Path, lists: Mapping[str, Sequence[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, ids in lists.items():
        (folder / name).write_text("\n".join(ids) + "\n", encoding="utf-8")


def ids_of(prefix: str, sizes: Mapping[str, int] = SIZES) -> dict[str, list[str]]:
    return {split: [f"{prefix}{split}{i:03}" for i in range(count)] for split, count in sizes.items()}


def make_audiocaps(folder: Path, *, tables: bool = True, lists: bool = True) -> dict[str, list[str]]:
    """CSVs (of one clip more a split than the lists have) or, without, the feature archive's pickle. Ids by split."""
    ids = {split: [f"{name}-_{10_000 * i}" for i, name in enumerate(names)] for split, names in ids_of("yt").items()}
    number = {id: i for names in ids.values() for i, id in enumerate(names)}
    count = {"train": 1, "val": 5, "test": 5}
    if tables:
        for split, names in ids.items():
            known = [*names, f"extra{split}_70000"]
            rows = [
                (1000 + i, id.rpartition("_")[0], int(id.rpartition("_")[2]) // 1000, sentence(number.get(id, 0), turn))
                for turn in range(count[split])  # a clip's captions do not stand together
                for i, id in enumerate(known)
            ]
            write_csv(folder / f"{split}.csv", ("audiocap_id", "youtube_id", "start_time", "caption"), rows)
    else:
        words = {
            id: [sentence(number[id], i).split() for i in range(count[split])] for split in ids for id in ids[split]
        }
        write_pickle(folder / "structured-symlinks/structured-symlinks/raw-captions.pkl", words)
    if lists:
        names = {"train": "train_list.txt", "val": "filtered_val_list.txt", "test": "final_filtered_test_list.txt"}
        where = folder if tables else folder / "structured-symlinks"
        write_lists(where, {names[split]: part for split, part in ids.items()})
    return ids


def make_clotho(folder: Path, *, parts: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Caption CSVs of v2.1, or of the given parts by split, and their metadata."""
    parts = parts or {"train": "development", "val": "validation", "test": "evaluation"}
    ids = ids_of("Café door ", {split: SIZES[split] for split in parts})
    for split, part in parts.items():
        texts = [[sentence(i, turn) for turn in range(5)] for i in range(len(ids[split]))]
        rows = [(f"{id}.wav", *each) for id, each in zip(ids[split], texts, strict=True)]
        columns = ("file_name", *(f"caption_{i}" for i in range(1, 6)))
        write_csv(folder / f"clotho_captions_{part}.csv", columns, rows)
        about = [(f"{id}.wav", "door;café", i) for i, id in enumerate(ids[split])]
        write_csv(
            folder / f"clotho_metadata_{part}.csv", ("file_name", "keywords", "sound_id"), about, encoding="iso-8859-1"
        )
    return ids


def make_activitynet(folder: Path) -> dict[str, list[str]]:
    """The published JSON files."""
    ids = ids_of("v_", {"train": SIZES["train"], "test": SIZES["test"]})
    folder.mkdir(parents=True, exist_ok=True)
    for split, file in {"train": "train.json", "test": "val_1.json"}.items():
        videos = {
            id: {
                "duration": 30.0,
                "timestamps": [[0.0, 9.0], [9.0, 30.0]],
                "sentences": [f"{sentence(i).capitalize()}.", f" Then {sentence(i, 1)}."],
            }
            for i, id in enumerate(ids[split])
        }
        (folder / file).write_text(json.dumps(videos), encoding="utf-8")
    return ids


def make_archive(folder: Path, pickle_name: str, prefix: str) -> dict[str, list[str]]:
    """A feature archive without its features: QuerYD's and SoundDescs' form."""
    ids = ids_of(prefix)
    inner = folder / "structured-symlinks"
    write_lists(inner, {f"{split}_list.txt": names for split, names in ids.items()})
    words = {id: [sentence(i).split()] for names in ids.values() for i, id in enumerate(names)}
    write_pickle(inner / pickle_name, words)
    return ids


def features(ids: Sequence[str], width: int, frames: int, *, seed: int) -> dict[str, np.ndarray]:
    """Random features of which those of the same sound lean the same way; no two sequences are of one length."""
    rng = np.random.default_rng(seed)
    leaning = rng.normal(size=(len(THINGS), width))
    return {
        id: (leaning[i % len(THINGS)] + rng.normal(size=(frames - i % 3, width))).astype(np.float32)
        for i, id in enumerate(ids)
    }


def write_h5(path: Path, content: Mapping[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for id, rows in content.items():
            file[id] = rows


def write_hickle(path: Path, content: Mapping[str, np.ndarray]) -> None:
    """As hickle 4 writes a dict."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["HICKLE_VERSION"] = "4.0.1"
        for id, rows in content.items():
            file[f"data/'{id}'/data"] = rows


def write_words(path: Path) -> None:
    """Word vectors in word2vec's binary format, of every word that captions here are made of but one."""
    from gensim.models import KeyedVectors

    words = [*sorted({word for i in range(48) for word in sentence(i).split()} | {"Then"}), "zebra"]
    table = KeyedVectors(300)
    table.add_vectors(words, np.random.default_rng(0).normal(size=(len(words), 300)).astype(np.float32))
    table.save_word2vec_format(str(path), binary=True)


def make_everything(data: Path) -> None:
    """All collections of the papers' tables, with features as the authors lay them: paper 1's HDF5 files by split and
    video, paper 2's hickle and pickle files; Clotho's in our own form."""
    caps = make_audiocaps(data / "AudioCaps")
    every = [id for ids in caps.values() for id in ids]
    inner = data / "AudioCaps/structured-symlinks"
    write_hickle(inner / "aggregated_vggsound/vggsound-raw.hickle", features(every, 512, 9, seed=1))
    for folder, width in (
        ("aggregated_imagenet_25fps_256px_stride1_offset0/resnext101_32x48d-avg.pickle", 2048),
        ("aggregated_scene_25fps_256px_stride1_offset0/densenet161-avg.pickle", 2208),
        ("aggregated_r2p1d_30fps_256px_stride32_offset0_inner_stride1/r2p1d-ig65m-avg.pickle", 512),
    ):
        fixed = {id: rows.mean(axis=0) for id, rows in features(every, width, 4, seed=2).items()}
        write_pickle(inner / folder, fixed)
    for name, width, frames in (("panns_cnn14", 2048, 6), ("lms", 128, 10), ("vggish", 128, 10)):
        for split, ids in caps.items():
            of_videos = {id.rpartition("_")[0]: rows for id, rows in features(ids, width, frames, seed=3).items()}
            write_h5(data / f"AudioCaps/AudioExpert/{name}/{split}/{name}.h5", of_videos)

    both = {
        "CLOTHO": make_clotho(data / "CLOTHO"),
        "CLOTHO-v1": make_clotho(data / "CLOTHO-v1", parts={"train": "development", "test": "evaluation"}),
    }
    for folder, ids_by_split in both.items():
        ids = [id for part in ids_by_split.values() for id in part]
        for name, width in (("lms", 128), ("vggish", 128), ("vggsound", 512), ("cnn14", 2048)):
            write_h5(data / folder / f"features/{name}.h5", features(ids, width, 7, seed=4))

    videos = [id for part in make_activitynet(data / "activity-net").values() for id in part]
    lacking = features(videos, 128, 8, seed=5)
    lacking[videos[2]] = np.full((1, 128), np.nan, np.float32)  # the authors' mark of what is missing
    write_pickle(data / "activity-net/structured-symlinks/aggregated_audio/vggish-audio-raw.pickle", lacking)
    described = make_archive(data / "QuerYDSegments", "split_raw_captions_filtered.pkl", "q-")
    ids = [id for part in described.values() for id in part]
    path = data / "QuerYDSegments/structured-symlinks/aggregated_audio/vggish-raw.hickle"
    write_hickle(path, features(ids, 128, 8, seed=6))
    write_words(data / "GoogleNews-vectors-negative300.bin")
