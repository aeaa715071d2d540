"""How much arithmetic and how many bytes a streaming encoder needs, from its manifest alone.

work = encoder_work(model, "small", frames=32)      # one hop: 0.643 GMAC for CNN14
"""

from dataclasses import dataclass

from benchmarks.model import Model
from edge_runtime.errors import BundleError

__all__ = ["Work", "encoder_work"]

ITEM_BYTES = {"float32": 4, "uint8": 1}


@dataclass(frozen=True)
class Work:
    """Multiply-adds by precision, and the bytes that must be read at least: each weight once, each state twice."""

    fp32_macs: float
    int8_macs: float
    weight_bytes: int
    state_bytes: int

    @property
    def macs(self) -> float:
        return self.fp32_macs + self.int8_macs

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.state_bytes


def encoder_work(model: Model, profile: str, *, frames: int) -> Work:
    """The convolutions of `frames` columns of log-mel. A state names its convolution's input, and its dtype the
    convolution's: uint8 states feed int8 weights."""
    stream = model.manifest.encoder.stream
    if stream is None:
        raise BundleError(f"{model.manifest.name} does not stream, and its manifest tells no layers: give --bundle")
    states = model.profiles[profile].states
    outputs = [state.channels for state in states[1:]] + [model.manifest.encoder.width]
    kernel = 2 * stream.pad + 1
    macs, weight_bytes, state_bytes = {"float32": 0.0, "uint8": 0.0}, 0, 0
    for state, out in zip(states, outputs, strict=True):
        weights = state.channels * out * kernel * kernel
        columns = frames * state.bands / model.manifest.mel.bands  # pools halve time and bands alike
        macs[state.dtype] += weights * state.bands * columns
        weight_bytes += weights * ITEM_BYTES[state.dtype]
        state_bytes += 2 * state.channels * state.bands * 2 * stream.pad * ITEM_BYTES[state.dtype]
    return Work(macs["float32"], macs["uint8"], weight_bytes, state_bytes)
