"""The precisions that a streaming bundle may hold, what each promises, and where int8 hurts.

    made = encoder_profile(RECIPES["small"], layers, clips, path)
    rows = sensitivity(layers, clips)           # each convolution alone in int8

| profile | encoder | head | for |
|---|---|---|---|
| exact | fp32 | fp32 | the published network's own numbers |
| light | fp32 | int8 | an encoder whose weights are few, as mn04's |
| packed | fp32 with its weights kept in int8 | int8 | the same times with a third of the bytes; mn04 alone |
| balanced | early convolutions fp32, late ones int8 | int8 | nearly exact at the size of int8 |
| small | int8 but for the first convolution | int8 | the fastest where the CPU multiplies bytes |
| tiny | as small | 4-bit blocks | the least memory |

The first convolution stays fp32 everywhere: it hears decibels, which no ReLU has clipped, and weighs nothing. The first
half of the others weighs little too (blocks 5 and 6 of CNN14 hold 94 % of the weights): `balanced` leaves it in fp32.
Which layers hurt is a matter of the trained weights, so every export measures it (`sensitivity.json`). Of mn04 the
layers that hurt most stay fp32, whichever they are, and it is pointwise convolutions alone that multiply bytes
(export/mobile_int8.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.manifest import StateSpec
from export.calibration import int8_steps, measure, snr_db, with_alpha
from export.fake_quantise import Tuning, fine_tuned
from export.network import Layer, run
from export.stream_graph import stream_graph

__all__ = ["RECIPES", "Recipe", "Sensitivity", "encoder_profile", "sensitivity", "sensitivity_table"]


@dataclass(frozen=True)
class Recipe:
    """One profile and its tolerance: segments and embeddings against the unquantised network, on sounds that calibrated
    nothing."""

    name: str
    int8_share: float
    """Of the convolutions, counted from the last one; the first never is."""
    head: str
    min_snr_db: float
    min_segment_cosine: float
    min_embedding_cosine: float
    encoder: str
    """Which of its convolutions are int8, for the manifest."""
    packed: bool = False
    """Weights are kept in int8, whatever multiplies them."""

    @property
    def fp32(self) -> bool:
        """Whether the encoder is as it was trained."""
        return not self.int8_share and not self.packed

    def int8(self, layers: Sequence[Layer]) -> set[str]:
        count = min(len(layers) - 1, round(self.int8_share * len(layers)))
        return {layer.name for layer in layers[len(layers) - count :]}


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # fp32 sums in another order: 1e-6 of the signal, 120 dB; a wrong graph has 0 dB
        Recipe("exact", 0.0, "fp32", 80.0, 0.99999, 0.9999, "the network's own numbers"),
        # 8 bits in the head alone
        Recipe("light", 0.0, "int8", 80.0, 0.99999, 0.99, "the network's own numbers"),
        # 8 bits in the weights alone: 22 dB with 8 channels and random weights, 31 dB of mn04
        Recipe("packed", 0.0, "int8", 20.0, 0.99, 0.99, "weights in int8, sums in fp32", packed=True),
        # half the convolutions rounded to 8 bits: 23 dB with 4 channels, above 28 with 64 and more
        Recipe("balanced", 0.5, "int8", 20.0, 0.99, 0.99, "early convolutions fp32, late ones int8"),
        # 8 bits in every layer but one: 18 to 33 dB; below 15 dB or .98 an embedding's neighbours change places
        Recipe("small", 1.0, "int8", 15.0, 0.98, 0.98, "int8 but for the first convolution"),
        # 4 bits in the head alone: 20 dB of the embedding
        Recipe("tiny", 1.0, "int4", 15.0, 0.98, 0.95, "int8 but for the first convolution"),
    )
}


def encoder_profile(
    recipe: Recipe,
    layers: Sequence[Layer],
    clips: Sequence[np.ndarray],
    path: Path,
    *,
    tuning: Sequence[np.ndarray] = (),
) -> list[StateSpec]:
    """Write the encoder's graph of this profile, calibrated on clips of log_mel (1, M, T), and fine-tuned on those of
    `tuning` if there are any; return its states."""
    int8 = recipe.int8(layers)
    if not int8:
        return stream_graph(layers, path)
    scaled, steps = int8_steps(layers, clips, int8=int8)
    if tuning:
        scaled, steps = fine_tuned(scaled, steps, teacher=layers, clips=tuning, config=Tuning())
    return stream_graph(scaled, path, steps=steps)


@dataclass(frozen=True)
class Sensitivity:
    """A convolution alone in int8: what it costs in signal to noise of the segments, and what it weighs."""

    layer: str
    weights: int
    snr_db: float


def sensitivity(layers: Sequence[Layer], clips: Sequence[np.ndarray]) -> list[Sensitivity]:
    """Quantise one convolution at a time, none equalised. `clips` calibrate and are heard."""
    exact = np.concatenate([run(layers, clip) for clip in clips])
    names = {layer.name for layer in layers[1:]}
    layers, steps = with_alpha(layers, clips, measure(layers, clips), int8=names, alpha=None)
    found = []
    for layer in layers[1:]:
        alone = {layer.name: steps[layer.name]}
        heard = np.concatenate([run(layers, clip, steps=alone) for clip in clips])
        found.append(Sensitivity(layer.name, layer.weight.size, round(snr_db(exact, heard), 2)))
    return found


def sensitivity_table(rows: Sequence[Sensitivity]) -> str:
    """Markdown, in the network's order."""
    total = sum(row.weights for row in rows)
    lines = ["| alone in int8 | segments' SNR, dB | share of the weights, % |", "|---|---|---|"]
    lines += [f"| {row.layer} | {row.snr_db:.1f} | {100 * row.weights / total:.1f} |" for row in rows]
    return "\n".join(lines)
