"""Checkpoint -> verified, quantised bundle.

    python -m export runs/stream/train edge_runtime/default_bundle --encoder runs/stream --profiles light
    python -m export runs/finetuned my-bundle           # the bundle that was fine-tuned, with its new words
    python -m export old-bundle my-bundle               # the same bundle, its encoder's graph as this version writes it
    python -m export runs/slim/train my-bundle --encoder runs/slim --name earmark-slim
    python -m export runs/cnn14/train my-bundle --encoder Cnn14_mAP=0.431.pth --network cnn14

With `--encoder` the bundle streams: mn04 as `python -m training stream` left it, or a network of the PANNs family in
several precisions, of which a device chooses. Without, its encoder is the published mn04, which hears whole windows:

    python -m export runs/train export/bundles/earmark-mn04-windowed --name earmark-mn04-windowed

A run of the papers' models takes the networks of its experts:

    python -m export runs/ce-clotho-0 my-bundle --experts vggish=vggish-10086976.pth,vggsound=H.pth.tar

Writes the bundle beside its place, checks it (parity of PyTorch, fp32 and int8; retrieval on the validation split; the
runtime's own self-test), and only then moves it there. A gate that fails leaves no bundle, and exit code 1.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edge_runtime.errors import EarmarkError
from export.bundle import Assembly, export_bundle
from export.joint_bundle import export_joint, joint_assembly
from export.regraph import export_regraph, is_regraph
from export.retext import Retext, export_retext, is_retext
from export.streaming_bundle import export_streaming
from export.streaming_parts import StreamingAssembly, streaming_parts
from training.gates import GateError

__all__ = ["main"]

SHARED = Path(__file__).parents[2] / "shared"


def main(
    checkpoint: Annotated[
        Path, typer.Argument(help="The folder that `training train` or `finetune` wrote, or a bundle.")
    ],
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder; a bundle that is there is replaced.")],
    name: Annotated[str, typer.Option(help="The bundle's name.")] = "earmark-mn04",
    version: Annotated[str, typer.Option(help="The bundle's version.")] = "1.0.0",
    phrases: Annotated[Path | None, typer.Option(help="Default phrases, one a line.")] = None,
    sounds: Annotated[Path, typer.Option(help="The folder with clips.csv.")] = SHARED / "data/sounds",
    weights: Annotated[Path, typer.Option(help="The encoder's weights.")] = SHARED / "weights/efficientat_mn04_as",
    features: Annotated[Path, typer.Option(help="Segments of the clips.")] = Path("runs/features"),
    encoder: Annotated[
        Path | None, typer.Option(help="What streams: a folder of `stream` or `distil`, or a file.")
    ] = None,
    network: Annotated[str, typer.Option(help="What a PANNs authors' file holds: cnn14, cnn10 or cnn6.")] = "",
    profiles: Annotated[str, typer.Option(help="Precisions of a streaming bundle.")] = "small,balanced,exact",
    hop_s: Annotated[float, typer.Option(help="Seconds between a streaming bundle's answers.")] = 1.28,
    experts: Annotated[str, typer.Option(help="Networks of a run of the papers' models: vggish=FILE,cnn14=FILE.")] = "",
    words: Annotated[Path | None, typer.Option(help="With --experts: more words that such a model reads.")] = None,
    tuning_clips: Annotated[int, typer.Option(min=0, help="int8 is fine-tuned on about so many training clips.")] = 0,
) -> None:
    """Write the bundle of a checkpoint, or say why there is none."""
    if bundle.exists() and any(bundle.iterdir()) and not (bundle / "manifest.json").exists():
        raise ValueError(f"{bundle} holds something that is no bundle: choose an empty or new folder")
    own = checkpoint / "phrases.txt"  # a lesson's bundle keeps its phrases and has its owner's labels
    phrases = phrases or (own if own.is_file() else Path(__file__).parent / "phrases.txt")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bundle.parent, prefix=f".{bundle.name}-") as folder:
        made = Path(folder) / "bundle"
        made.mkdir()
        if experts:
            export_joint(made, joint_assembly(checkpoint, experts, name, version, phrases, words=words))
        elif is_regraph(checkpoint):
            export_regraph(checkpoint, made, version)
        elif is_retext(checkpoint):
            export_retext(made, Retext(checkpoint, name, version, phrases))
        elif encoder:
            asked = StreamingAssembly(
                checkpoint, name, version, phrases, sounds, encoder, network, profiles, hop_s, tuning_clips
            )
            export_streaming(made, streaming_parts(asked))
        else:
            export_bundle(made, Assembly(checkpoint, name, version, phrases, sounds, weights, features))
        if bundle.exists():
            shutil.rmtree(bundle)
        made.rename(bundle)
    size = sum(file.stat().st_size for file in bundle.iterdir())
    print(json.dumps({"bundle": str(bundle), "bytes": size}))


def run(arguments: Sequence[str] | None = None) -> int:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    try:
        app(arguments, standalone_mode=True)
    except GateError as error:
        print(f"export: no bundle was written: {error}", file=sys.stderr)
        return 1
    except (EarmarkError, FileNotFoundError, ValueError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    except SystemExit as done:  # how typer ends, well or with a usage error
        return int(done.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(run())
