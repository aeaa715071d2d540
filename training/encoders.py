"""The frozen encoders that features are of, by the folder that holds them."""

from pathlib import Path
from typing import Any

from training.flags import RUNS

__all__ = ["encoder_of", "features_of", "is_bundle", "tagger_of"]

FRONT_ENDS = ("lms", "mfcc")


def encoder_of(student: Path | None, weights: Path) -> tuple[Any, tuple[Any, Any]]:
    """The frozen encoder and its front end: mn04, the network of a folder that `distil` or `stream` wrote, that of a
    bundle, or a front end alone."""
    from training.bundle_encoder import has_streaming_mn, streaming_mn_of
    from training.distil import load_student
    from training.experts.lms import Lms
    from training.experts.mfcc import Mfcc
    from training.graph_encoder import GraphEncoder
    from training.mel_tables import efficientat_mel, lms_mel, panns_mel
    from training.mn import load_mn04
    from training.stream_mn import load_streaming_mn
    from training.stream_tuning import FILE

    if student is None:
        return load_mn04(weights), efficientat_mel()
    if str(student) in FRONT_ENDS:
        return {"lms": Lms, "mfcc": Mfcc}[str(student)](), lms_mel()
    if is_bundle(student):
        if has_streaming_mn(student):
            return streaming_mn_of(student, load_mn04(weights)), efficientat_mel()
        heard = GraphEncoder.of(student, load_mn04(weights))
        return heard, heard.front_end
    if (student / FILE).is_file():
        return load_streaming_mn(student / FILE), efficientat_mel()
    return load_student(student), panns_mel()


def is_bundle(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()


def features_of(student: Path | None) -> Path:
    """Where its features lie if nothing else is said: each in a folder of its own, and none in a bundle."""
    if student is not None and is_bundle(student):
        return RUNS / "features" / student.resolve().name
    if student is None or str(student) in FRONT_ENDS:
        return RUNS / "features" / (student or "")
    return student / "features"


def tagger_of(net: Any) -> Any:
    """mn04's classifier, or its streaming form's; a CNN14's has another form, and so no part in the head; a graph has
    none."""
    from training.mn import MobileNet
    from training.stream_mn import StreamingMobileNet

    mobile = net.net if isinstance(net, StreamingMobileNet) else net
    return mobile.classifier if isinstance(mobile, MobileNet) else None
