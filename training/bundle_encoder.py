"""The streaming mn04 out of a bundle: a new head for a shipped encoder, which is not trained again.

    python -m training features --student edge_runtime/default_bundle       # runs/features/default_bundle
    python -m training train --features runs/features/default_bundle --out runs/head
    python -m export runs/head my-bundle --encoder edge_runtime/default_bundle --profiles light

An fp32 graph stores each convolution with its batch norm folded into it. Here the norm does nothing, and the network
exported again has the graph's own bytes. A bundle brings no tagger: the published one takes its place.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError
from edge_runtime.manifest import Manifest
from training.graph_weights import as_bias, graph_weights
from training.mn import MobileNet
from training.stream_mn import STREAMING_MN04, StreamingMobileNet, excitation_of

__all__ = ["has_streaming_mn", "profile_of_streaming_mn", "streaming_mn_of"]


@torch.no_grad()
def streaming_mn_of(folder: Path, tagger: MobileNet | None = None) -> StreamingMobileNet:
    """In evaluation mode; its classifier is that of `tagger`, or nothing trained. BundleError: the bundle is damaged,
    or has no streaming mn04 in fp32."""
    profile = profile_of_streaming_mn(folder)
    net = StreamingMobileNet(STREAMING_MN04).eval()
    bundle = Bundle.open(folder, profile=profile)
    _take(net, bundle.folder / bundle.manifest.profiles[profile].encoder.file)
    if tagger is not None:
        net.net.classifier.load_state_dict(tagger.classifier.state_dict())
    return net


def has_streaming_mn(folder: Path) -> bool:
    """Whether there is such a network in the bundle."""
    return bool(_readable(Manifest.read(folder), StreamingMobileNet(STREAMING_MN04)))


def profile_of_streaming_mn(folder: Path) -> str:
    """The first profile that has one. BundleError: none has."""
    manifest = Manifest.read(folder)
    profiles = _readable(manifest, StreamingMobileNet(STREAMING_MN04))
    if not profiles:
        raise BundleError(
            f"{folder} has no streaming mn04 in fp32 ({manifest.name} has {', '.join(manifest.profiles) or 'none'}): "
            "give the default bundle, or a folder that `python -m training stream` or `distil` wrote"
        )
    return profiles[0]


def _readable(manifest: Manifest, net: StreamingMobileNet) -> list[str]:
    """The profiles that have such a network in fp32."""
    exact = [name for name, each in manifest.profiles.items() if each.encoder.precision == "fp32"]
    shapes = [(name, channels, bands, [edge, carry]) for name, channels, bands, edge, carry in net.state_specs()]
    return [name for name in exact if _weighed(_shapes(manifest, name)) == _weighed(shapes)]


def _shapes(manifest: Manifest, profile: str) -> list[tuple[str, int, int, list[int]]]:
    return [(each.name, each.channels, each.bands, each.columns) for each in manifest.profiles[profile].states]


def _weighed(shapes: list[tuple[str, int, int, list[int]]]) -> list[tuple[str, int, int, list[int]]]:
    """Without the excitations' memories: no weight depends on how an older graph counted their columns."""
    return [each for each in shapes if not each[0].endswith("_memory")]


def _take(net: StreamingMobileNet, path: Path) -> None:
    """The graph's convolutions, in the order in which it computes them."""
    graph, stored = graph_weights(path)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    layers = list(_layers(net))
    if len(convolutions) != len(layers):
        raise BundleError(f"{path.name} has {len(convolutions)} convolutions, a streaming mn04 has {len(layers)}")
    for (layer, norm), node in zip(layers, convolutions, strict=True):
        weight, bias = (stored[name] for name in node.input[1:])
        if weight.size != layer.weight.numel():
            raise BundleError(f"{path.name}: {node.name} has weights {weight.shape}, not {tuple(layer.weight.shape)}")
        layer.weight.copy_(torch.from_numpy(np.array(weight)).view_as(layer.weight))
        if norm is None:
            layer.bias.copy_(torch.from_numpy(np.array(bias)))
        else:
            as_bias(norm, bias)


def _layers(net: StreamingMobileNet) -> Iterator[tuple[nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]]:
    """Each convolution with its batch norm; those of an excitation have none."""
    features = list(net.net.features)
    yield features[0][0], features[0][1]
    for block in net.blocks():
        for layer in block.block:
            if layer is excitation_of(block):
                squeeze = layer.conc_se_layers[0]
                yield squeeze.fc1, None
                yield squeeze.fc2, None
            else:
                yield layer[0], layer[1]
    yield features[-1][0], features[-1][1]
