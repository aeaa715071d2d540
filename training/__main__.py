"""The training side's command line: `python -m training COMMAND --help`.

    python -m training words                    # vocabulary and word vectors         -> runs/words.npz
    python -m training captions                 # what the text tower learns from     -> runs/captions.npz
    python -m training features                 # the frozen encoder's segments       -> runs/features/
    python -m training train                    # the dual encoder                    -> runs/train/
    python -m training distil                   # a slim CNN14 taught by mn04         -> runs/slim/
    python -m training stream                   # mn04 that streams, fine-tuned       -> runs/stream/
    python -m training evaluate runs/train      # a checkpoint, or a bundle's folder
    python -m training finetune --data FOLDER   # a sound of one's own                -> runs/finetuned/

`make bundle` runs what the default bundle needs, in this order. An interrupted command goes on where it was.
"""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from edge_runtime.errors import EarmarkError
from training.gates import GateError
from training.sounds import read_clips

__all__ = ["app"]

SHARED = Path(__file__).parents[2] / "shared"
RUNS = Path("runs")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

Sounds = Annotated[Path, typer.Option(help="The folder with clips.csv.")]
Texts = Annotated[Path, typer.Option(help="The folder with the caption corpora.")]
Weights = Annotated[Path, typer.Option(help="The folder with the encoder's published weights.")]


@app.command()
def words(
    source: Annotated[str, typer.Option(help="minilm, word2vec, or a word2vec-format file.")] = "minilm",
    size: Annotated[int, typer.Option(help="Words to keep, the most frequent first.")] = 14_000,
    texts: Texts = SHARED / "data/text",
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    out: Path = RUNS / "words.npz",
) -> None:
    """Choose the vocabulary and give each word its 300 numbers."""
    from edge_runtime.tokenizer import words_of
    from training import words as vectors
    from training.corpora import corpus_texts, vocabulary
    from training.features import class_names
    from training.phrasings import TEMPLATES, phrasings_of

    clips = read_clips(sounds)
    own = [text for clip in clips for text in (*phrasings_of(clip.label), *clip.captions)]
    own += [*TEMPLATES, *class_names(weights), *phrase_lines()]
    chosen = vocabulary(corpus_texts(texts), own, size=size, more=vectors.common_words() if source == "minilm" else ())
    if source == "minilm":
        found = vectors.distilled_vectors(chosen)
    elif source == "word2vec":
        found = vectors.trained_vectors([words_of(text) for text in corpus_texts(texts)])
    else:
        found = vectors.load_word2vec_format(Path(source), chosen)
    found.save(out)
    print(f"{out}: {len(found.words)} words, {found.source}")


@app.command()
def captions(
    texts: Texts = SHARED / "data/text",
    size: Annotated[int, typer.Option(help="Captions to keep, drawn at random.")] = 16_000,
    seed: int = 0,
    out: Path = RUNS / "captions.npz",
) -> None:
    """Embed captions with a sentence encoder: the text tower learns which of them are alike."""
    from training.corpora import corpus_texts
    from training.words import sentence_embeddings

    pool = sorted({text.strip() for text in corpus_texts(texts) if 2 <= len(text.split()) <= 30})
    rng = np.random.default_rng(seed)
    chosen = [pool[i] for i in rng.choice(len(pool), size=min(size, len(pool)), replace=False)]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, texts=np.array(chosen), embeddings=sentence_embeddings(chosen).astype(np.float16))
    print(f"{out}: {len(chosen)} of {len(pool)} captions")


@app.command()
def features(
    copies: Annotated[int, typer.Option(help="Roughened copies beside the clean one.")] = 3,
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    student: Annotated[Path | None, typer.Option(help="A folder of `distil`: its network instead of mn04.")] = None,
    out: Path = RUNS / "features",
) -> None:
    """Run the frozen encoder over every clip. Resumable: copies that are there stay."""
    from training.features import extract

    net, front_end = _encoder(student, weights)
    for path in extract(read_clips(sounds), net, *front_end, out=out, copies=copies):
        print(path)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def distil(
    context: typer.Context,
    out: Path = RUNS / "slim",
    features: Path = RUNS / "features",
    copies: Annotated[
        int, typer.Option(help="Copies of the teacher's features to learn from, the clean one first.")
    ] = 2,
    sounds: Sounds = SHARED / "data/sounds",
    resume: Annotated[bool, typer.Option(help="Go on from student.pt.")] = False,
) -> None:
    """Teach a slim CNN14 what mn04 hears. Every field of DistilConfig is a flag: --width, --epochs, …"""
    from training.distil import DistilConfig
    from training.distil import distil as run
    from training.mel_tables import panns_mel

    config = DistilConfig(**_parsed(context.args, _defaults(DistilConfig)))
    clips = read_clips(sounds)
    run(clips, _heard_and_taught(clips, features, copies, panns_mel(), "panns"), config, out, resume=resume)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def stream(
    context: typer.Context,
    out: Path = RUNS / "stream",
    features: Path = RUNS / "features",
    copies: Annotated[int, typer.Option(help="Copies of the clips to hear, the clean one first.")] = 3,
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    resume: Annotated[bool, typer.Option(help="Go on from last.pt.")] = False,
) -> None:
    """Fine-tune a streaming mn04, and keep its segments. Every field of StreamTuningConfig is a flag: --epochs, …"""
    from training.features import hear_again, save
    from training.mel_tables import efficientat_mel
    from training.mn import load_mn04
    from training.stream_mn import STREAMING_MN04
    from training.stream_tuning import StreamTuningConfig, tune_stream

    config = StreamTuningConfig(**_parsed(context.args, _defaults(StreamTuningConfig)))
    clips = read_clips(sounds)
    heard = _heard_and_taught(clips, features, copies, efficientat_mel(), "efficientat")
    net = tune_stream(clips, heard, load_mn04(weights), STREAMING_MN04, config, out, resume=resume)
    (out / "features").mkdir(exist_ok=True)
    for copy, (taught, mels) in enumerate(heard):
        path = out / "features" / f"streaming-{copy}.npz"
        save(path, hear_again(net, taught, [mels.window(row) for row in range(len(taught.lengths))]))
        print(path)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    out: Path = RUNS / "train",
    vectors: Path = RUNS / "words.npz",
    features: Path = RUNS / "features",
    captions: Path = RUNS / "captions.npz",
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    resume: Annotated[bool, typer.Option(help="Go on from last.pt.")] = False,
) -> None:
    """Train the dual encoder. Every field of TrainConfig is a flag: --epochs, --loss, --seed, --device, …"""
    from training.features import class_names, load
    from training.train import CaptionTeacher, TrainConfig
    from training.train import train as run
    from training.words import WordVectors

    config = TrainConfig(**_parsed(context.args, _defaults(TrainConfig)))
    found = sorted(features.glob("*-*.npz"))
    if not found:
        raise FileNotFoundError(f"{features} holds no features: run `python -m training features` first")
    teacher = None
    if captions.exists():
        with np.load(captions, allow_pickle=False) as file:
            teacher = CaptionTeacher(file["texts"].tolist(), file["embeddings"])
    checkpoint = run(
        read_clips(sounds),
        load(found),
        WordVectors.load(vectors),
        config,
        out,
        class_names=class_names(weights),
        teacher=teacher,
        resume=resume,
    )
    print(json.dumps(checkpoint.validation))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def finetune(
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="Your recordings: a subfolder a sound, or with captions.csv.")],
    checkpoint: Path = RUNS / "train",
    out: Path = RUNS / "finetuned",
    sounds: Sounds = SHARED / "data/sounds",
    features: Annotated[Path, typer.Option(help="Segments of those clips: replayed and measured.")] = RUNS / "features",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    student: Annotated[Path | None, typer.Option(help="A folder of `distil` or `stream`: its network.")] = None,
) -> None:
    """Teach a checkpoint a sound of one's own. Every field of FinetuneConfig is a flag: --steps, --keep, …

    Exit code 1, and no checkpoint, where the new sound gains nothing or the old benchmark loses more than a point.
    """
    from training.finetune import FinetuneConfig
    from training.teach import Lesson, teach

    config = FinetuneConfig(**_parsed(context.args, _defaults(FinetuneConfig)))
    net, front_end = _encoder(student, weights)
    lesson = Lesson(data, checkpoint, out, sounds, features, phrase_lines())
    try:
        found = teach(lesson, net, front_end, config)
    except GateError as error:
        print(f"training: nothing was written: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(json.dumps({"out": str(out), "own_r1": found.own}))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A checkpoint's folder, or a bundle's.")],
    split: str = "test",
    sounds: Sounds = SHARED / "data/sounds",
    features: Path = RUNS / "features",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line alone.")] = False,
) -> None:
    """Retrieval figures of one split, both directions: names, labels, captions."""
    from training.evaluate import bundle_embedder, markdown
    from training.evaluate import evaluate as score
    from training.features import load
    from training.train import Checkpoint

    clips = read_clips(sounds)
    if (model / "manifest.json").exists():
        from rich.progress import track

        embed_audio, embed_text = bundle_embedder(model)
        chosen = [clip for clip in clips if clip.split == split]
        listened = track(chosen, "listening", disable=not sys.stderr.isatty())
        report = score(chosen, [embed_audio(clip.path) for clip in listened], embed_text)
    else:
        clean = load(sorted(features.glob("*-0.npz")))[0]
        report = Checkpoint.load(model).evaluate(clips, clean, split)
    if as_json:
        print(json.dumps({"model": str(model), "split": split, **report.figures()}))
    else:
        print("\n".join(markdown(report, f"{model}, {split} split")))


def _encoder(student: Path | None, weights: Path) -> tuple[Any, tuple[Any, Any]]:
    """The frozen encoder and its front end: mn04, or the network of a folder that `distil` or `stream` wrote."""
    from training.distil import load_student
    from training.mel_tables import efficientat_mel, panns_mel
    from training.mn import load_mn04
    from training.stream_mn import load_streaming_mn
    from training.stream_tuning import FILE

    if student is None:
        return load_mn04(weights), efficientat_mel()
    if (student / FILE).is_file():
        return load_streaming_mn(student / FILE), efficientat_mel()
    return load_student(student), panns_mel()


def _heard_and_taught(clips: list, features: Path, copies: int, front_end: tuple, name: str) -> list[tuple]:
    """The teacher's features of each copy, the clean one first, and the frames that a student hears of it."""
    from training.features import load
    from training.mels import extract_mels

    teacher = load(sorted(features.glob("*-*.npz"))[:copies])
    if not teacher:
        raise FileNotFoundError(f"{features} holds no features: run `python -m training features` first")
    paths = [features / "mels" / f"{name}-{copy}.npz" for copy in range(len(teacher))]
    mels = [extract_mels(clips, copy, front_end, path=path) for copy, path in enumerate(paths)]
    return list(zip(teacher, mels, strict=True))


def phrase_lines() -> list[str]:
    """The default vocabulary that a bundle ships."""
    from edge_runtime.phrases import read_phrase_file

    return read_phrase_file(Path(__file__).parents[1] / "export" / "phrases.txt")


def _defaults(config: type) -> dict[str, Any]:
    """The flags that a configuration brings: its fields and their defaults."""
    return {field.name: field.default for field in fields(config)}


def _parsed(arguments: list[str], defaults: dict[str, Any]) -> dict[str, Any]:
    """['--epochs', '4'] -> {'epochs': 4}, typed as the defaults are."""
    chosen: dict[str, Any] = {}
    for flag, value in zip(arguments[::2], [*arguments[1::2], None][: (len(arguments) + 1) // 2], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if name not in defaults or value is None:
            raise typer.BadParameter(f"{flag} {value or ''}: settings are {', '.join(defaults)}")
        try:
            chosen[name] = type(defaults[name])(value)
        except ValueError:
            raise typer.BadParameter(f"{flag} {value}: expected {type(defaults[name]).__name__}") from None
    return chosen


if __name__ == "__main__":
    try:
        app()
    except (EarmarkError, FileNotFoundError, ValueError) as error:
        print(f"training: {error}", file=sys.stderr)
        sys.exit(2)
