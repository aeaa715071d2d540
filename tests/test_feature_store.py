"""Features of others and our own: every layout and format read, and what is bad refused with file and clip."""

import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
h5py = pytest.importorskip("h5py", reason="needs the train extra")

from edge_runtime.errors import EarmarkError  # noqa: E402
from training.experts.hdf5 import Hdf5Features  # noqa: E402
from training.experts.pickles import read_pickle  # noqa: E402
from training.experts.store import LAYOUTS, FeatureStore, places  # noqa: E402

ROWS = np.arange(6 * 128, dtype=np.float32).reshape(6, 128)


def write_h5(path: Path, features: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for clip, array in features.items():
            file[clip] = array
    return path


def write_hickle(path: Path, features: dict[str, object], *, version: int) -> Path:
    """As hickle 4.0.4 and 5.0.3 lay out a dict (`test_hickle_itself` compares)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["HICKLE_VERSION"] = f"{version}.0.3"
        for clip, array in features.items():
            file[f"data/{clip!r}/data" if version == 4 else f'data/"{clip}"'] = array
        file["data"].attrs["type"] = np.bytes_(pickle.dumps(os.system))
    return path


def write_pickle(path: Path, content: object, *, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("suffix", ["h5", "4.hickle", "5.hickle", "pickle"])
def test_every_format_gives_the_same_rows(suffix, tmp_path: Path):
    features = {"Yab-c_30000": ROWS, "it's one.wav": ROWS[:2].astype(np.float64), "gone": np.float64("nan")}
    path = tmp_path / f"x.{suffix}"
    if suffix == "h5":
        write_h5(path, features)
    elif suffix == "pickle":
        write_pickle(path, features)
    else:
        write_hickle(path, features, version=int(suffix[0]))
    store = FeatureStore.open(path, "vggish")
    np.testing.assert_array_equal(store["Yab-c_30000"], ROWS)
    np.testing.assert_array_equal(store["it's one.wav"], ROWS[:2])
    assert store["it's one.wav"].dtype == np.float32
    assert store.get("gone") is None and store.get("never there") is None
    assert "gone" not in store
    assert store.missing(["gone", "Yab-c_30000", "never there"]) == ["gone", "never there"]


def test_hickle_itself(tmp_path: Path):
    """4.0.4 and 5.0.3 were tried; whose layouts are told apart above."""
    hickle = pytest.importorskip("hickle", reason="needs hickle as the oracle")
    hickle.dump({"Yabc_1000": ROWS, "gone": np.nan}, str(tmp_path / "x.hickle"), mode="w")
    store = FeatureStore.open(tmp_path / "x.hickle", "vggish")
    np.testing.assert_array_equal(store["Yabc_1000"], ROWS)
    assert store.get("gone") is None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_plain_data_come_back_the_same(protocol, tmp_path: Path):
    content = {
        "array": ROWS,
        "lists": [[1, 2.5], ["a", ("b", None, True)]],
        "scalar": np.float32(3),
        "bytes": b"\xff\x00",
        "ordered": collections.OrderedDict(a=np.arange(3)),
        "column major": np.asfortranarray(ROWS),
        "objects": np.array([ROWS[0], "text"], dtype=object),
    }
    found = read_pickle(write_pickle(tmp_path / "x.pkl", content, protocol=protocol))
    assert list(found) == list(content) and found["lists"] == content["lists"] and found["bytes"] == content["bytes"]
    for name in ("array", "scalar", "column major"):
        np.testing.assert_array_equal(found[name], content[name])
    assert found["objects"][1] == "text"


class Trap:
    """Unpickled by Python's own loader, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_is_refused_by_name_before_it_runs(protocol, tmp_path: Path):
    path = write_pickle(tmp_path / "x-avg.pickle", {"a": ROWS, "b": Trap(tmp_path / "sprung")}, protocol=protocol)
    with pytest.raises(EarmarkError, match=r"x-avg\.pickle wants posix\.mkdir: .*nothing of it was run"):
        FeatureStore.open(path, "vggish")
    assert not (tmp_path / "sprung").exists()
    with path.open("rb") as file:
        pickle.load(file)  # noqa: S301  the trap does work
    assert (tmp_path / "sprung").is_dir()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "numpy.load", "numpy.core.multiarray.fromfile", "os.system"]
)
def test_names_that_are_not_on_the_list_are_refused(name, tmp_path: Path):
    module, _, function = name.rpartition(".")
    (tmp_path / "x.pkl").write_bytes(f"c{module}\n{function}\n.".encode())
    with pytest.raises(EarmarkError, match=f"wants {name}"):
        read_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    "spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\x80\x04junk", lambda b: b[:-1]]
)
def test_a_damaged_pickle_is_refused(spoil, tmp_path: Path):
    path = write_pickle(tmp_path / "x.pkl", {"a": ROWS})
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(EarmarkError, match=r"x\.pkl is no whole pickle of arrays"):
        read_pickle(path)


def test_an_array_larger_than_any_memory_is_refused(tmp_path: Path):
    """numpy.ndarray((2**62,)), called as a pickle may call what is on the list."""
    (tmp_path / "x.pkl").write_bytes(b"cnumpy\nndarray\n((I4611686018427387904\nttR.")
    with pytest.raises(EarmarkError, match=r"x\.pkl is no whole pickle"):
        read_pickle(tmp_path / "x.pkl")


def test_any_cut_of_a_pickle_is_refused_the_same_way(tmp_path: Path):
    whole = write_pickle(tmp_path / "x.pkl", {"a": ROWS[:1, :4], "b": [1.5, "text"]}).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "x.pkl").write_bytes(whole[:length])
        with pytest.raises(EarmarkError, match=r"x\.pkl is no whole pickle"):
            read_pickle(tmp_path / "x.pkl")


def test_hdf5_that_is_cut_short_or_none_at_all_is_refused(tmp_path: Path):
    path = write_h5(tmp_path / "x.h5", {f"clip {i}": ROWS for i in range(50)})
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(EarmarkError, match=r"x\.h5 is (no whole HDF5 file|damaged)"):
            FeatureStore.open(path, "vggish")
    path.write_bytes(b"no features at all")
    with pytest.raises(EarmarkError, match=r"x\.h5 is no whole HDF5 file .*: copy it again"):
        FeatureStore.open(path, "vggish")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 127), np.float32), r"shape \(3, 127\), expected \(T, 128\) of vggish"),
        (np.zeros((2, 3, 128), np.float32), r"shape \(2, 3, 128\), expected \(T, 128\)"),
        (np.where(np.arange(256).reshape(2, 128) == 200, np.nan, 1.0), "NaN or infinity beside numbers"),
        (np.array([b"text"] * 128), "expected numbers"),
    ],
)
def test_features_of_another_shape_or_kind_name_file_and_clip(array, message, tmp_path: Path):
    store = FeatureStore.open(write_h5(tmp_path / "x.h5", {"a clip": array}), "vggish")
    with pytest.raises(EarmarkError, match=rf"x\.h5: the features of 'a clip' .*{message}"):
        store["a clip"]


def test_fixed_vectors_are_sequences_of_one(tmp_path: Path):
    path = write_pickle(tmp_path / "densenet161-avg.pickle", {"a": np.ones(2208), "b": np.ones((1, 2208))})
    store = FeatureStore.open(path, "scene")
    assert store["a"].shape == store["b"].shape == (1, 2208)


def test_a_hickle_of_lists_is_refused_by_its_item(tmp_path: Path):
    with h5py.File(tmp_path / "x.hickle", "w") as file:
        file.attrs["HICKLE_VERSION"] = "4.0.4"
        file["data/'a'/data/data_0"] = ROWS
    with pytest.raises(EarmarkError, match=r"x\.hickle: its item 'a' is no array of a clip"):
        FeatureStore.open(tmp_path / "x.hickle", "vggish")


def test_both_papers_folders_and_our_own_are_found(tmp_path: Path):
    for split in ("train", "val", "test"):
        write_h5(tmp_path / f"first/AudioExpert/vggish/{split}/vggish.h5", {f"{split} clip": ROWS})
    layout = tmp_path / "second/structured-symlinks"
    write_hickle(layout / "aggregated_audio/vggish-raw.hickle", {"a clip": ROWS}, version=4)
    for name in ("inst", "scene", "r2p1d", "speech"):
        write_pickle(layout / LAYOUTS[name].second[0], {"a clip": np.ones(LAYOUTS[name].width)})
    first = FeatureStore.found(tmp_path / "first", "vggish")
    assert sorted(first) == ["test clip", "train clip", "val clip"]
    for name, width in (("vggish", 128), ("inst", 2048), ("scene", 2208), ("r2p1d", 512), ("speech", 300)):
        assert FeatureStore.found(tmp_path / "second", name)["a clip"].shape[1] == width
    write_h5(tmp_path / "second/features/vggish.h5", {"our own": ROWS})
    assert list(FeatureStore.found(tmp_path / "second", "vggish")) == ["our own"]


def test_what_is_nowhere_says_every_place(tmp_path: Path):
    with pytest.raises(EarmarkError) as caught:
        FeatureStore.found(tmp_path, "vggish")
    assert all(str(place) in str(caught.value) for place in places(tmp_path, "vggish"))
    assert len(places(tmp_path, "vggish")) == 4
    with pytest.raises(EarmarkError, match="no expert whose width is known"):
        FeatureStore.open(write_h5(tmp_path / "x.h5", {"a": ROWS}), "something")
    assert FeatureStore.open(tmp_path / "x.h5", "something", width=128)["a"].shape == (6, 128)


def test_missing_clips_are_counted_and_listed(tmp_path: Path):
    store = FeatureStore.open(write_h5(tmp_path / "x.h5", {"a": ROWS, "b": np.full((2, 128), np.nan)}), "vggish")
    assert store.told(["a"]) == "vggish: 1 of 1 clips have features"
    assert store.told(["a", "b", "c", "d"], listed=2) == (
        "vggish: 1 of 4 clips have features; missing: b, c and 1 more"
    )


def test_an_open_file_goes_to_another_process(tmp_path: Path):
    store = FeatureStore.open(write_h5(tmp_path / "x.h5", {"folder/a.wav": ROWS}), "vggish")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301  our own
    np.testing.assert_array_equal(again["folder/a.wav"], ROWS)
    with Hdf5Features(tmp_path / "x.h5") as features:
        assert list(features) == ["folder/a.wav"]
