"""What a streaming bundle is made from, gathered from the disk.

parts = streaming_parts(StreamingAssembly(checkpoint, name, version, phrases, sounds, encoder, network, …))
"""

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.phrases import read_phrase_file, tidy
from export.card import LICENCE, NOTICES
from export.kept_encoder import KeptEncoder
from export.stream_encoder import StreamNet, stream_encoder
from export.streaming_bundle import StreamingParts
from training.bundle_encoder import has_streaming_mn, streaming_mn_of
from training.distil import load_student
from training.encoders import is_bundle
from training.features import load_samples
from training.graph_encoder import first_profile
from training.panns import CNN6, CNN10, CNN14, Panns, load_checkpoint, load_cnn14, load_net
from training.sounds import read_clips
from training.stream_mn import load_streaming_mn
from training.stream_tuning import FILE
from training.train import Checkpoint

__all__ = ["StreamingAssembly", "load_encoder", "streaming_parts"]

NETWORKS = {"cnn14": CNN14, "cnn10": CNN10, "cnn6": CNN6}
CALIBRATION_CLIPS = 48
PUBLISHED = (
    "Audio encoder: PANNs (Kong et al. 2020, arXiv:1912.10211), weights CC BY 4.0, zenodo.org/records/3987831",
    "AudioSet class names: CC BY 4.0, Google",
)
TRAINED_HERE = (
    "Audio encoder: CNN14 of PANNs (Kong et al. 2020, arXiv:1912.10211), weights trained by this project, taught by "
    "EfficientAT mn04_as (MIT licence, Copyright (c) 2022 Florian Schmid)",
    *NOTICES[1:],
)


@dataclass(frozen=True)
class StreamingAssembly:
    """Where the parts lie. `profiles` are separated by commas; `network` names what a PANNs authors' file holds."""

    checkpoint: Path
    name: str
    version: str
    phrases: Path
    sounds: Path
    encoder: Path
    network: str
    profiles: str
    hop_s: float
    tuning_clips: int = 0


def load_encoder(path: Path, network: str) -> StreamNet:
    """A folder of `distil` or of `stream`, a bundle, a file of `save_net`, or, with `network` named, of the PANNs
    authors.

    ValueError or EarmarkError: it is none of these.
    """
    if network and network not in NETWORKS:
        raise ValueError(f"network {network!r} is not known; there are {', '.join(NETWORKS)}")
    if is_bundle(path):
        return streaming_mn_of(path) if has_streaming_mn(path) else KeptEncoder(first_profile(path))
    if (path / FILE).is_file():
        return load_streaming_mn(path / FILE)
    if path.is_dir():
        return load_student(path)
    if network == "cnn14" and path.name.startswith("Cnn14_mAP=0.431"):
        return load_cnn14(path)
    return load_checkpoint(path, NETWORKS[network]) if network else load_net(path)


def streaming_parts(asked: StreamingAssembly) -> StreamingParts:
    """Load everything. Calibration hears training clips, the retrieval gate the validation split."""
    net = load_encoder(asked.encoder, asked.network)
    rate_hz = stream_encoder(net).spec.rate_hz
    clips = read_clips(asked.sounds)
    train = [clip for clip in clips if clip.split == "train"]
    some = train[:: max(1, len(train) // CALIBRATION_CLIPS)][:CALIBRATION_CLIPS]
    return StreamingParts(
        net,
        Checkpoint.load(asked.checkpoint),
        name=asked.name,
        version=asked.version,
        licence=LICENCE,
        notices=_notices(net, asked.network),
        phrases=[tidy(phrase) for phrase in read_phrase_file(asked.phrases)],
        sounds=[load_samples(clip.path, rate_hz) for clip in some],
        profiles=tuple(asked.profiles.split(",")),
        hop_s=asked.hop_s,
        clips=[clip for clip in clips if clip.split == "val"],
        tuning=[
            load_samples(clip.path, rate_hz) for clip in train[1 :: max(1, len(train) // max(1, asked.tuning_clips))]
        ]
        if asked.tuning_clips
        else [],
        ambience=clips,
    )


def _notices(net: StreamNet, network: str) -> list[str]:
    """Those of the encoder, and of what the towers are trained on."""
    if isinstance(net, KeptEncoder):
        return list(dict.fromkeys((*net.notices, *NOTICES[1:])))
    return list(PUBLISHED if network else TRAINED_HERE if isinstance(net, Panns) else NOTICES)
