"""All that a table's trainings need, found before any of them begins, or one message that says all that lacks.

sources = gathered(experiment, Path("data"), Path("data/GoogleNews-vectors-negative300.bin"))

data/AudioCaps/, data/CLOTHO/, …            each collection as its reader wants it (training/datasets/)
data/AudioCaps/features/vggish.h5 …         features, or as the authors lay them (experts/store.py)
data/GoogleNews-vectors-negative300.bin     word vectors: any word2vec-format file, or what `training words` wrote
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import EarmarkError
from training.datasets.collection import Collection
from training.datasets.readers import READERS
from training.experiments.recipe import Experiment
from training.experts.store import FeatureStore
from training.papers.loop import digest_of
from training.papers.scoring import Stores
from training.words import WordVectors

__all__ = ["VECTORS", "Aliased", "Sources", "gathered", "vectors_of"]

VECTORS = "GoogleNews-vectors-negative300.bin"


@dataclass(frozen=True)
class Sources:
    """`collections`, digests of their `clips` and captions, and `stores`, by the collection's name."""

    collections: Mapping[str, Collection]
    clips: Mapping[str, str]
    stores: Mapping[str, Stores]
    vectors: WordVectors


class Aliased(Mapping[str, np.ndarray]):
    """A store whose file calls clips by other names: the first of `aliases(id)` that it has counts. What it has is
    looked up once: a store reads a clip's features to say whether they are there."""

    def __init__(self, store: FeatureStore, aliases: Callable[[str], Sequence[str]]) -> None:
        self.store, self.aliases = store, aliases
        self._names: dict[str, str | None] = {}

    def name_of(self, id: str) -> str | None:
        """What the store calls a clip, or None where it lacks it."""
        if id not in self._names:
            self._names[id] = next((name for name in self.aliases(id) if name in self.store), None)
        return self._names[id]

    def __getitem__(self, id: str) -> np.ndarray:
        if (name := self.name_of(id)) is None:
            raise KeyError(id)
        return self.store[name]

    def __contains__(self, id: object) -> bool:
        return self.name_of(str(id)) is not None

    def get(self, id: str, default: np.ndarray | None = None) -> np.ndarray | None:  # type: ignore[override]
        name = self.name_of(id)
        return default if name is None else self.store[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.store)

    def __len__(self) -> int:
        return len(self.store)


def gathered(experiment: Experiment, data: Path, vectors: Path) -> Sources:
    """Raises FileNotFoundError that lists every file that is missing or bad, and where it is expected."""
    collections: dict[str, Collection] = {}
    stores: dict[str, dict[str, Aliased]] = {}
    lacking: list[str] = []
    for name in dict.fromkeys(training.collection for training in experiment.trainings()):
        reader = READERS[name]
        home = data / reader.home
        try:
            collections[name] = reader.read(home)
        except (FileNotFoundError, ValueError, EarmarkError) as error:
            lacking.append(f"{reader.about}: {error}")
        stores[name] = {}
        trainings = [training for training in experiment.trainings() if training.collection == name]
        for expert in dict.fromkeys(expert.name for training in trainings for expert in training.config.experts):
            try:
                stores[name][expert] = Aliased(FeatureStore.found(home, expert), reader.aliases)
            except EarmarkError as error:
                lacking.append(f"{reader.about}: {error}")
    if not vectors.is_file():
        lacking.append(_no_vectors(vectors))
    if lacking:
        raise FileNotFoundError(f"{experiment.name} needs what is not there:\n  " + "\n  ".join(lacking))
    clips = {name: digest_of(collection) for name, collection in collections.items()}
    return Sources(collections, clips, stores, vectors_of(vectors))


def vectors_of(path: Path) -> WordVectors:
    """The whole table: fallbacks of the look-up search all of it. GoogleNews takes 4 GB of memory. FileNotFoundError or
    ValueError say what is wrong with it."""
    from gensim.models import KeyedVectors

    if not path.is_file():
        raise FileNotFoundError(_no_vectors(path))
    try:
        if path.suffix == ".npz":
            return WordVectors.load(path)
        table = KeyedVectors.load_word2vec_format(str(path), binary=".bin" in path.suffixes)
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise ValueError(f"{path} holds no word vectors that can be read ({error}): fetch it again") from error
    return WordVectors(table.index_to_key, table.vectors, path.name)


def _no_vectors(path: Path) -> str:
    return f"word vectors: {path} is missing: put a word2vec-format file there, or give --vectors"
