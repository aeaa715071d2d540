"""Checkpoints of others: read whole, or refused with the file and the parameter that is wrong."""

import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from edge_runtime.errors import EarmarkError  # noqa: E402
from training.published import Published, load_strict, read_checkpoint  # noqa: E402


def small_net() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def test_a_state_dict_comes_back_whole(tmp_path: Path):
    net, other = small_net(), small_net()
    torch.save(net.state_dict(), tmp_path / "net.pth")
    load_strict(other, read_checkpoint(tmp_path / "net.pth"), tmp_path / "net.pth")
    for mine, theirs in zip(other.state_dict().values(), net.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_file_of_before_the_batch_counter_loads(tmp_path: Path):
    state = {name: value for name, value in small_net().state_dict().items() if "num_batches" not in name}
    net = small_net()
    load_strict(net, state, tmp_path)
    assert torch.equal(net.state_dict()["0.weight"], state["0.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.bias"), r"net\.pth has no 0\.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), r"net\.pth has extra, which Sequential has not"),
        (lambda s: s.update({"0.weight": torch.zeros(2, 4)}), r"net\.pth: 0\.weight is \(2, 4\), expected \(2, 3\)"),
        (lambda s: s.update({"0.weight": [1, 2]}), r"net\.pth: 0\.weight is list, expected \(2, 3\)"),
    ],
)
def test_another_network_is_refused_by_the_parameter_that_differs(change, message):
    state = dict(small_net().state_dict())
    change(state)
    with pytest.raises(EarmarkError, match=message):
        load_strict(small_net(), state, Path("net.pth"))


def test_what_is_no_state_dict_is_refused():
    with pytest.raises(EarmarkError, match=r"net\.pth holds a list where the parameters of VGGish were expected"):
        load_strict(small_net(), [1], Path("net.pth"), of="VGGish")


def test_a_file_that_is_absent_or_another_says_where_to_get_it(tmp_path: Path):
    published = Published("net.pth", "example.org", "sha256", "ab" * 32)
    with pytest.raises(EarmarkError, match=r"net\.pth is missing: download net\.pth from example\.org to there"):
        read_checkpoint(tmp_path, published)
    (tmp_path / "net.pth").write_bytes(b"something else")
    with pytest.raises(EarmarkError, match=r"net\.pth has sha256 .*, expected abab.*: download net\.pth"):
        read_checkpoint(tmp_path, published)


def test_a_damaged_file_and_one_that_runs_code_are_refused(tmp_path: Path):
    path = tmp_path / "net.pth"
    torch.save(small_net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(EarmarkError, match=r"net\.pth is no checkpoint that can be read"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=2))
    with pytest.raises(EarmarkError, match=r"net\.pth is no checkpoint that can be read"):
        read_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_arrays_of_numpy_are_read(tmp_path: Path):
    torch.save({"means": np.arange(3.0)}, tmp_path / "net.pth")
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "net.pth")["means"], [0, 1, 2])


class Trap:
    """Unpickled by Python's own loader, it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
