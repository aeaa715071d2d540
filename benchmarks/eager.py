"""CNN14 in PyTorch eager with the stand-in's weights: what this project is measured against.

    eager = open_eager(folder, threads=1)       # None and a reason where PyTorch or the weights are not here
    eager.window(samples)                       # front end and network over a whole window, as users run it
    eager.segments(frames)                      # (S, D) of the last block, averaged over frequency

It is `panns_inference.Cnn14` where that package is installed (and the network is CNN14 itself), else the same network
of training/panns.py. The package downloads with wget when it is imported: its file is put in place in a home of its
own, and `os.system` refuses meanwhile.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.stand_in import WEIGHTS

if TYPE_CHECKING:
    from training.panns import Panns

__all__ = ["Eager", "open_eager"]

LABELS = "index,mid,display_name\n0,/m/x,x\n"
PANNS_FRONT_END = (32000, 1024, 320, 64, 50, 14000, 527)


@dataclass(frozen=True)
class Eager:
    """`window(samples (n,))`: the whole forward pass. `frames(samples)`: its own log-mel, (T, M) float32, in decibels.
    `segments(frames)`: what its network makes of those, (S, D)."""

    name: str
    window: Callable[[np.ndarray], object]
    frames: Callable[[np.ndarray], np.ndarray]
    segments: Callable[[np.ndarray], np.ndarray]


def open_eager(folder: Path, *, threads: int) -> tuple[Eager | None, str]:
    """The eager network of a stand-in's folder, and what to say about it."""
    if not (folder / WEIGHTS).is_file():
        return None, f"PyTorch eager left out: {folder} has no {WEIGHTS}, which only the stand-in has"
    try:
        import torch
    except ImportError:
        return None, "PyTorch eager left out: torch is not here (pip install 'earmark[train]')"
    from training.panns import CNN14, load_net

    torch.set_num_threads(threads)
    net = load_net(folder / WEIGHTS)
    if net.config.channels != CNN14.channels:
        return _ours(net), "eager is training/panns.py: panns-inference has no slimmer CNN14"
    try:
        package = _panns_inference()
    except ImportError as error:
        return _ours(net), f"eager is training/panns.py: panns-inference cannot be imported ({error})"
    return _theirs(package, net.state_dict()), "eager is panns_inference.Cnn14"


def _theirs(package: Any, weights: dict[str, Any]) -> Eager:
    import torch

    net = package.Cnn14(*PANNS_FRONT_END)
    net.load_state_dict({**net.state_dict(), **weights}, strict=True)
    net.eval()

    @torch.inference_mode()
    def window(samples: np.ndarray) -> object:
        return net(torch.from_numpy(samples)[None])

    @torch.inference_mode()
    def frames(samples: np.ndarray) -> np.ndarray:
        power = net.spectrogram_extractor(torch.from_numpy(samples)[None])
        return net.logmel_extractor(power)[0, 0].numpy()  # (T, M)

    @torch.inference_mode()
    def segments(log_mel: np.ndarray) -> np.ndarray:
        x = net.bn0(torch.from_numpy(log_mel)[None, None].transpose(1, 3)).transpose(1, 3)  # (1, 1, T, M)
        for number in range(1, 7):
            pool = (2, 2) if number < 6 else (1, 1)
            x = getattr(net, f"conv_block{number}")(x, pool_size=pool, pool_type="avg")
        return x.mean(dim=3)[0].T.numpy()  # (S, D)

    return Eager("panns_inference.Cnn14", window, frames, segments)


def _ours(net: "Panns") -> Eager:
    import torch

    from training.frontend import LogMel
    from training.mel_tables import panns_mel

    mel = LogMel(*panns_mel())

    @torch.inference_mode()
    def window(samples: np.ndarray) -> object:
        return net(mel(torch.from_numpy(samples)[None]))

    @torch.inference_mode()
    def frames(samples: np.ndarray) -> np.ndarray:
        return mel(torch.from_numpy(samples)[None])[0].T.numpy()  # (T, M)

    @torch.inference_mode()
    def segments(log_mel: np.ndarray) -> np.ndarray:
        return net.segments(torch.from_numpy(np.ascontiguousarray(log_mel.T))[None])[0].numpy()

    return Eager("training.panns", window, frames, segments)


def _panns_inference() -> Any:
    """The package's module of networks, imported without its download. Raises ImportError."""

    def refuse(command: str) -> int:
        raise ImportError(f"it wants to run {command.split(maxsplit=1)[0]!r}")

    real_home, real_system = os.environ.get("HOME"), os.system
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "panns_data").mkdir()
        (Path(home) / "panns_data" / "class_labels_indices.csv").write_text(LABELS, encoding="utf-8")
        os.environ["HOME"] = home
        os.system = refuse
        try:
            from panns_inference import models
        except OSError as error:
            raise ImportError(str(error)) from error
        finally:
            os.system = real_system
            os.environ.pop("HOME")
            if real_home is not None:
                os.environ["HOME"] = real_home
    return models
