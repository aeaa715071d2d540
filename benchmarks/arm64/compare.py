"""The board's answers beside this machine's: one row a stage, with a bound that it meets or not.

rows = compare(x86, board, steps={"": None})          # both machines' `answers`
all(row.ok for row in rows)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["MAX_FP32", "MIN_COSINE", "Row", "compare"]

MIN_COSINE = 0.9999
"""Of embeddings, end to end and stage by stage."""
MAX_FP32 = 1e-5
"""What an fp32 graph may differ by: sums in another order."""
MAX_SIGNAL = 1e-5
"""What the resampler may differ by: its filters are summed in another order too."""
MAX_LOG_MEL = 2e-3
"""The bundle's own bound: FFTs differ by 1e-4 in the quietest bands, where the logarithm is steep."""
MAX_STEPS = 1.0
"""int8: one quantisation step, where an fp32 value before it lies on the edge between two."""


@dataclass(frozen=True)
class Row:
    """A stage, what was measured of it, the figure, and the bound it was held to."""

    stage: str
    measure: str
    figure: float
    bound: float
    ok: bool
    remark: str = ""

    def __str__(self) -> str:
        sign = ">=" if self.measure.startswith(("cosine", "same")) else "<="
        figures = f"{self.figure:<12.8g} {sign} {self.bound:g}"
        return f"{self.stage:40} {self.measure:26} {figures}{'' if self.ok else '   FAILED'}{self.remark}"


Arrays = Mapping[str, np.ndarray]


def compare(
    x86: Arrays, board: Arrays, *, steps: Mapping[str, np.ndarray | None], overflows: bool = False
) -> list[Row]:
    """`steps`: profile -> the quantisation steps (D,) of its segments, None where the encoder is fp32 throughout.
    `overflows`: x86 here adds products of bytes in 16 bits (benchmarks/eight_bit.py). What an int8 encoder says on it
    is then no measure of the board: told, and not held to its bound."""
    if x86.keys() != board.keys():
        raise ValueError(f"stages differ: {sorted(x86.keys() ^ board.keys())}; both machines must run the same bundle")
    for name in x86:
        if x86[name].shape != board[name].shape:
            raise ValueError(f"{name}: {board[name].shape} on the board, {x86[name].shape} on x86")
    rows = [
        at_most("resampled signal", "max difference", difference(x86, board, ["signal"]), MAX_SIGNAL),
        at_most("log-mel", "max difference", difference(x86, board, ["log_mel"]), MAX_LOG_MEL),
        same("token ids", x86, board, [name for name in x86 if name.startswith("ids.")]),
        *int8_rows("text encoder", x86, board, "text."),
        cosines("text encoder", x86, board, "text"),
    ]
    for profile, step in steps.items():
        label = f"{profile}: " if profile else ""
        windows = [name for name in x86 if name.startswith(f"{profile}/segments.")]
        if step is None:
            encoder = [at_most(f"{label}encoder (fp32)", "max difference", difference(x86, board, windows), MAX_FP32)]
        else:
            worst = difference(x86, board, windows, unit=step)
            encoder = [at_most(f"{label}encoder (int8)", "max difference in steps", worst, MAX_STEPS)]
        encoder += int8_rows(f"{label}encoder, each layer", x86, board, f"{profile}/layers/")
        encoder += int8_rows(f"{label}encoder, its int8 part alone", x86, board, f"{profile}/rest/", bound=0.0)
        whole = cosines(f"{label}whole path, file to embedding", x86, board, f"{profile}/embeddings")
        if step is not None and overflows:
            encoder, whole = [unmeasured(row) for row in encoder], unmeasured(whole)
        rows += encoder
        rows += streamed(f"{label}stream and whole clip, both there", board, windows, step)
        rows += int8_rows(f"{label}head", x86, board, f"{profile}/head.")
        rows.append(cosines(f"{label}head", x86, board, f"{profile}/head"))
        rows.append(whole)
        rows.append(same(f"{label}nearest phrases (hnswlib)", x86, board, [f"{profile}/nearest"]))
    return rows


def unmeasured(row: Row) -> Row:
    return replace(row, ok=True, remark="   not held to it: this x86 overflows")


def difference(x86: Arrays, board: Arrays, names: list[str], *, unit: np.ndarray | float = 1.0) -> float:
    return max(float((np.abs(x86[name] - board[name]) / unit).max(initial=0)) for name in names)


def streamed(stage: str, board: Arrays, windows: list[str], step: np.ndarray | None) -> list[Row]:
    """The board's stream beside its own whole clip; no row where the encoder does not stream. On x86 both are the same
    to the last bit. On ARM, onnxruntime's fp32 convolutions sum chunks of other lengths in another order."""
    pairs = [(name, name.replace("/segments.", "/whole.")) for name in windows]
    found = [np.abs(board[name] - board[whole]) for name, whole in pairs if whole in board]
    if not found:
        return []
    if step is None:
        return [at_most(stage, "max difference", max(float(each.max()) for each in found), MAX_FP32)]
    worst = max(float((each / step).max()) for each in found)
    return [at_most(stage, "max difference in steps", worst, MAX_STEPS)]


def at_most(stage: str, measure: str, figure: float, bound: float) -> Row:
    return Row(stage, measure, figure, bound, figure <= bound)  # False for NaN


def same(stage: str, x86: Arrays, board: Arrays, names: list[str]) -> Row:
    share = float(np.mean([np.mean(x86[name] == board[name]) for name in names]))
    return Row(stage, "same, share", share, 1.0, share == 1.0)


def cosines(stage: str, x86: Arrays, board: Arrays, name: str) -> Row:
    """Rows of both are unit vectors."""
    worst = float((x86[name].astype(np.float64) * board[name]).sum(axis=1).min())
    return Row(stage, "cosine, worst", worst, MIN_COSINE, worst >= MIN_COSINE)


def int8_rows(stage: str, x86: Arrays, board: Arrays, prefix: str, *, bound: float = MAX_STEPS) -> list[Row]:
    """The activations that `probe` laid open, all of the stage's inputs together."""
    names = [name for name in x86 if name.startswith(prefix) and "/int8." in name]
    if not names:
        return []
    steps = np.concatenate([np.abs(x86[name].astype(int) - board[name].astype(int)).ravel() for name in names])
    measure = f"steps ({np.count_nonzero(steps)} of {steps.size} differ)"
    return [at_most(f"{stage} (int8)", measure, float(steps.max()), bound)]
