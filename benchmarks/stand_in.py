"""A CNN14 bundle with random weights, where the published checkpoint is not: it costs what the real one costs.

    folder = stand_in(Path("runs/bench"), width=1.0)    # exported once, in minutes; needs the train and export extras

Batch norms are fitted to synthesised sounds and every seed is fixed, so times, sizes and the equality of stream and
whole carry over to a trained network. Errors of quantisation do not: they must be measured on trained weights. The
bundle is written by the export itself, gates and all; `weights.pt` beside it is for PyTorch. It can be copied to a
board.
"""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import say
from edge_runtime.errors import EarmarkError
from edge_runtime.manifest import sha256_of
from edge_runtime.mel import log_mel
from edge_runtime.scene import demo_scene

if TYPE_CHECKING:
    from training.panns import Panns, PannsConfig

__all__ = ["NOTE", "WEIGHTS", "scene", "stand_in"]

NOTE = "random weights: times, sizes and stream = whole carry over to a trained CNN14, errors of int8 do not"
WEIGHTS = "weights.pt"
RECIPE = "recipe.json"
SEED = 14
PROFILES = ("exact", "small", "balanced", "tiny")
PHRASES = ("a dog barks", "rain", "a loud engine")
WORDS = ["a", "dog", "barks", "in", "the", "rain", "water", "loud", "engine"]
WORD_WIDTH = 300
JOINT_WIDTH = 2048
"""Of the paper's CNN14; slimmer networks get a joint space as much narrower, down to `MIN_JOINT_WIDTH`, unless told."""
MIN_JOINT_WIDTH = 64
FITTING_CLIPS, SOUNDS, SOUND_S = 6, 8, 4.0
MADE_BY = (
    "benchmarks/stand_in.py",
    "training/panns.py",
    "training/mel_tables.py",
    "training/retrieval.py",
    "export/calibration.py",
    "export/graphs.py",
    "export/network.py",
    "export/profiles.py",
    "export/quantise.py",
    "export/stream_graph.py",
    "export/streaming_bundle.py",
)


def scene(rate_hz: int, seconds: float, *, seed: int = SEED) -> np.ndarray:
    """Synthesised field sounds, float32 (n,): what the benchmarks hear."""
    sound = np.concatenate([demo_scene(rate_hz, seed + i)[0] for i in range(1 + int(seconds // 60))])
    return sound[: round(seconds * rate_hz)]


def stand_in(cache: Path, *, width: float, joint_width: int | None = None) -> Path:
    """The bundle's folder, exported where it is not there or was made by other code. `width` 1 is CNN14 itself;
    `joint_width` other than its own makes a larger or smaller head."""
    name = f"cnn14-{width:g}" + (f"-e{joint_width}" if joint_width else "")
    folder = cache / name
    joint_width = joint_width or max(MIN_JOINT_WIDTH, round(JOINT_WIDTH * width))
    recipe = {"width": width, "joint_width": joint_width, "seed": SEED, "made_by": _digest()}
    try:
        if json.loads((folder / RECIPE).read_text(encoding="utf-8")) == recipe:
            return folder
    except (OSError, ValueError):
        pass
    part = folder.with_name(folder.name + ".part")
    for old in (part, folder):
        shutil.rmtree(old, ignore_errors=True)
    part.mkdir(parents=True)
    say(f"exporting the stand-in CNN14 (width {width:g}, joint space {joint_width}) into {folder} …")
    _export(part, f"stand-in-{name}", width, joint_width)
    (part / RECIPE).write_text(json.dumps(recipe) + "\n", encoding="utf-8")
    part.rename(folder)
    return folder


def _digest() -> str:
    """Of the code that makes a bundle: whoever changes it gets a new one."""
    root = Path(__file__).parents[1]
    return hashlib.sha256("".join(sha256_of(root / name) for name in MADE_BY).encode()).hexdigest()[:16]


def _export(folder: Path, name: str, width: float, joint_width: int) -> None:
    try:
        import torch

        from export.streaming_bundle import StreamingParts, export_streaming
        from training.panns import CNN14, save_net, slim_cnn14
        from training.retrieval import DualEncoder, RetrievalConfig
        from training.train import Checkpoint
    except ImportError as error:
        raise EarmarkError(
            f"the stand-in CNN14 is exported with PyTorch and onnx, but {error}: pip install 'earmark[train,export]', "
            "or copy a bundle to here and give it with --bundle"
        ) from error
    net = _fitted(CNN14 if width == 1 else slim_cnn14(width))
    torch.manual_seed(SEED)
    config = RetrievalConfig(net.config.segment_dim, word_width=WORD_WIDTH, joint_width=joint_width)
    model = DualEncoder(config, torch.randn(len(WORDS) + 1, WORD_WIDTH)).eval()
    rate_hz = 32_000
    heard = scene(rate_hz, SOUNDS * SOUND_S)
    parts = StreamingParts(
        net,
        Checkpoint(model, WORDS, "random", {}, {}),
        name=name,
        version="0",
        licence="none: random weights, for measuring only",
        notices=[],
        phrases=list(PHRASES),
        sounds=np.array_split(heard, SOUNDS),
        profiles=PROFILES,
        report=lambda text: say("\n".join(f"  {line}" for line in text.splitlines())),
    )
    export_streaming(folder, parts)
    save_net(net, folder / WEIGHTS)


def _fitted(config: "PannsConfig") -> "Panns":
    """A network with random weights whose batch norms give every layer unit scale on synthesised sounds."""
    import torch

    from training.mel_tables import panns_mel
    from training.panns import Panns

    torch.manual_seed(SEED)
    net = Panns(replace(config, dropout=0.0))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over what it hears
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    spec, tables = panns_mel()
    sounds = np.array_split(scene(spec.rate_hz, FITTING_CLIPS * SOUND_S, seed=SEED + 1), FITTING_CLIPS)
    frames = np.stack([log_mel(spec, tables, sound).T for sound in sounds])  # (B, M, T)
    with torch.no_grad():
        net.train().segments(torch.from_numpy(frames))
    return net.eval()
