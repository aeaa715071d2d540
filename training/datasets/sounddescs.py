"""SoundDescs (Koepke et al. 2022): the BBC's sound effects with their archive's descriptions, one each.

    collection = read_sounddescs(Path("data/SoundDescs"))         # 23 085 / 4947 / 4947

The folder holds train_list.txt, val_list.txt and test_list.txt (github.com/akoepke/audio-retrieval-benchmark,
data/SoundDescs) and the descriptions: descriptions.pkl (sounddescs_data/ there) or the feature archive's
raw-captions.pkl. Recordings, if you have them, lie in audio/ID.wav; clips without one are then left out, and listed.
"""

from dataclasses import replace
from pathlib import Path

from training.datasets import archive
from training.datasets.collection import Collection, Skipped
from training.datasets.tables import recordings_by_stem

__all__ = ["CLIPS", "read_sounddescs"]

LISTS = {"train": "train_list.txt", "val": "val_list.txt", "test": "test_list.txt"}
CLIPS = {"train": 23_085, "val": 4_947, "test": 4_947}


def read_sounddescs(folder: Path) -> Collection:
    whole = archive.read_archive(folder, "sounddescs", LISTS, captions=("descriptions.pkl", archive.CAPTIONS))
    audio = recordings_by_stem(folder / "audio")
    if audio is None:
        return whole
    silent = [Skipped(item.id, item.split, f"no audio {folder / 'audio' / item.id}.wav") for item in whole.items]
    heard = whole.without([each for each in silent if each.id not in audio])
    return replace(heard, items=tuple(replace(item, audio=audio[item.id]) for item in heard.items))
