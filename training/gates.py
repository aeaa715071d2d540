"""Gates: one measured figure beside its bound. What a new model may not cost stands here, for fine-tuning and export.

gates = drop_gates(before, after, what="test split")
judge(gates)        # prints each; raises GateError that names those which failed
"""

from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluate import Report

__all__ = ["Gate", "GateError", "drop_gates", "judge"]

MAX_DROP = 1.0
"""A point of a retrieval figure."""
GATED = ("labels_t2a_map10", "labels_a2t_r1", "labels_a2t_map10", "captions_t2a_map10", "esc50_top1")


class GateError(Exception):
    """A new form of a model parts from the old one by more than a stated bound."""


@dataclass(frozen=True)
class Gate:
    """One measured figure beside its bound."""

    name: str
    found: float
    bound: float
    at_most: bool = True

    @property
    def passed(self) -> bool:
        return self.found <= self.bound if self.at_most else self.found >= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{'ok  ' if self.passed else 'FAIL'} {self.name}: {self.found:.6f} ({sign} {self.bound})"


def drop_gates(before: Report, after: Report, *, what: str, told_apart: bool = False) -> list[Gate]:
    """No gated retrieval figure may fall by more than `MAX_DROP`. With `told_apart` a figure of so few queries that one
    answer moves it further counts only in the mean of all."""
    old, new = before.figures(), after.figures()
    few = {name for name, count in before.queries().items() if told_apart and 100 / count > MAX_DROP}
    mean = sum(old[name] - new[name] for name in old) / len(old)
    every = [Gate(f"{what}, mean drop of all {len(old)} figures", mean, MAX_DROP)] if few else []
    return [
        Gate(f"{what} {name}: {old[name]:.2f} -> {new[name]:.2f}, drop", old[name] - new[name], MAX_DROP)
        for name in GATED
        if name in old.keys() - few
    ] + every


def judge(gates: Sequence[Gate]) -> None:
    """Print every gate, then raise GateError where one failed."""
    for gate in gates:
        print(gate)
    if failed := [gate for gate in gates if not gate.passed]:
        raise GateError("; ".join(map(str, failed)))
