"""The text side of a model alone: its vocabulary, word vectors and text tower, out of a shipped bundle or a checkpoint.

    side = TextSide.of_bundle(Bundle.open())        # the int8 graph's own weights, as fp32: nothing else is needed
    side.embed_text(["rain on a tent"])             # (1, E)

A bundle's int8 graph says what each weight is to 1/127 of its channel's largest, and the batch norms are folded into
the products before them. The tower that is made of these numbers answers as the graph does but for the rounding of
activations, and can be trained on; quantised again, what did not move falls on the same steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, EarmarkError
from edge_runtime.tokenizer import PADDING, Tokenizer, batch_of
from training.graph_weights import as_bias, graph_weights
from training.new_words import NewWord
from training.own_checkpoint import read_own
from training.pooling import MeanPool, NetRVLAD, pooling
from training.published import load_strict
from training.retrieval import Tower
from training.train import MAX_WORDS, Checkpoint

__all__ = ["TextSide"]

TEMPERATURE = 0.06
"""Of the loss, where a bundle is the beginning: it does not keep its own, and training ends near to this."""


@dataclass(frozen=True)
class TextSide:
    """`vocabulary` in the tokeniser's order; `words (V + 1, W)`: row 0 is padding; `temperature` of training."""

    vocabulary: list[str]
    words: Tensor
    text_tower: Tower
    temperature: float

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> "TextSide":
        model = checkpoint.model
        temperature = float(model.log_temperature.detach().exp().clamp(0.01, 1.0))
        return cls(checkpoint.words, model.words.clone(), model.text_tower, temperature)

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> "TextSide":
        """Raises BundleError where the text graph is none that `python -m export` writes, or has another pooling than
        NetRVLAD or the mean."""
        vocabulary = bundle.tokenizer.words
        weights = _weights(bundle.folder / bundle.manifest.text.graph.file, rows=len(bundle.tokenizer))
        joint = bundle.manifest.head.width
        words = torch.from_numpy(weights["words"])
        width = words.shape[1]
        clusters = weights["tower.assign"].shape[1] if "tower.assign" in weights else 1
        name = "netrvlad" if "tower.assign" in weights else "mean"
        turn = torch.from_numpy(weights["tower.turn"]) if "tower.turn" in weights else None
        kept, joint = (joint, len(turn)) if turn is not None else (0, joint)
        common = weights.get("tower.common")
        pool = pooling(name, width=width, clusters=clusters)
        tower = Tower(pool, joint, 0.0, kept, less_common=common is not None)
        with torch.no_grad():
            if turn is not None:
                tower.turn.copy_(turn)
            if common is not None:
                tower.common.copy_(torch.from_numpy(common))
            if isinstance(tower.pool, NetRVLAD):
                tower.pool.assignment.copy_(torch.from_numpy(weights["tower.assign"]))
                as_bias(tower.pool.norm, weights["tower.assign_bias"])
            by_cluster = torch.from_numpy(weights["tower.project"].T.copy()).view(joint, clusters, width)
            tower.project.weight.copy_(by_cluster.transpose(1, 2).flatten(1))  # D-major
            tower.project.bias.copy_(torch.from_numpy(weights["tower.project_bias"]))
            tower.gate.linear.weight.copy_(torch.from_numpy(weights["tower.gate"].T.copy()))
            tower.gate.linear.bias.zero_()
            as_bias(tower.gate.norm, weights["tower.gate_bias"])
        return cls(vocabulary, words, tower.eval(), TEMPERATURE)

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.vocabulary, max_words=MAX_WORDS)

    def embed_ids(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        """Token ids (B, L) -> (B, E), with another word table where one is given."""
        return self.text_tower((self.words if words is None else words)[ids], ids != PADDING)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        tokenizer = self.tokenizer
        with torch.inference_mode():
            return self.embed_ids(torch.from_numpy(batch_of([tokenizer.encode(text) for text in texts]))).numpy()

    def with_words(self, found: Sequence[NewWord]) -> "TextSide":
        """The same model, whose word table has the new words at its end: what it says of old texts is unchanged."""
        fresh = [torch.from_numpy(each.vector)[None] for each in found]
        vocabulary = [*self.vocabulary, *(each.word for each in found)]
        return replace(self, vocabulary=vocabulary, words=torch.cat((self.words, *fresh)))

    def save(self, path: Path) -> None:
        pool = self.text_tower.pool
        if not isinstance(pool, NetRVLAD | MeanPool):
            raise EarmarkError(f"a text side is kept with NetRVLAD or the mean, not with {type(pool).__name__}")
        name = "netrvlad" if isinstance(pool, NetRVLAD) else "mean"
        state = {"vocabulary": self.vocabulary, "words": self.words, "pooling": name, "temperature": self.temperature}
        torch.save(state | {"tower": self.text_tower.state_dict()}, path)

    @classmethod
    def load(cls, path: Path) -> "TextSide":
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}: give the folder that `python -m training finetune` wrote")
        state = read_own(path, ("vocabulary", "words", "pooling", "temperature", "tower"), by="training finetune")
        words, weights = state["words"], state["tower"]
        clusters = weights["pool.assignment"].shape[1] if state["pooling"] == "netrvlad" else 1
        pool = pooling(state["pooling"], width=words.shape[1], clusters=clusters)
        kept = weights["turn"].shape[1] if "turn" in weights else 0
        tower = Tower(pool, len(weights["project.bias"]), 0.0, kept, less_common="common" in weights)
        load_strict(tower, weights, path)
        return cls(state["vocabulary"], words, tower.eval(), state["temperature"])


def _weights(path: Path, *, rows: int) -> dict[str, np.ndarray]:
    """The graph's stored numbers as float32, by the names that export/graphs.py gives them; "words" is the table."""
    graph, stored = graph_weights(path)
    unknown = f"{path.name} is no text graph that this version knows: export the bundle again"
    tables = [array for array in stored.values() if array.ndim == 2 and array.shape[0] == rows]
    scales = [array for array in tables if array.shape[1] == 1]
    words = [array for array in tables if array.shape[1] > 1]
    if len(words) != 1 or len(scales) > 1:
        raise BundleError(unknown)
    if any(node.op_type in ("LSTM", "ReduceMax") for node in graph.node):
        raise BundleError(f"{path.name} pools words by an LSTM or their maximum: finetune knows NetRVLAD and the mean")
    found = {name: array.astype(np.float32) for name, array in stored.items() if name.startswith("tower.")}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            quantised, scale, zero = (stored[name].astype(np.float32) for name in node.input)
            found[node.output[0].removesuffix("_DequantizeLinear_Output")] = (quantised - zero) * scale
    found = {name.replace("tower.pool.", "tower."): array for name, array in found.items()}
    needed = {"tower.project", "tower.project_bias", "tower.gate", "tower.gate_bias"}
    if "tower.centres" in found:
        raise BundleError(f"{path.name} pools words by NetVLAD: finetune knows NetRVLAD and the mean")
    if not needed <= found.keys():
        raise BundleError(unknown)
    table = words[0].astype(np.float32)
    return found | {"words": table * scales[0] if scales else table}
