"""The training side's command line: `python -m training COMMAND --help`.

    python -m training words                    # vocabulary and word vectors         -> runs/words.npz
    python -m training captions                 # what the text tower learns from     -> runs/captions.npz
    python -m training pairs                    # what else it may learn from: train --pairs-weight   -> runs/pairs.npz
    python -m training features                 # the frozen encoder's segments       -> runs/features/
    python -m training train                    # the dual encoder                    -> runs/train/
    python -m training distil                   # a slim CNN14 taught by mn04         -> runs/slim/
    python -m training stream                   # mn04 that streams, fine-tuned       -> runs/stream/
    python -m training extras                   # mixtures and still sounds, for train --joint and --still
    python -m training recipes                  # what each option of `train` is worth   -> benchmarks/results/
    python -m training fallback runs/train …    # the tagger's word where the towers know nothing
    python -m training narrow runs/train …      # the same model with shorter embeddings; `widths`: at what cost
    python -m training evaluate runs/train      # a checkpoint, or a bundle's folder; of several the mean too
    python -m training finetune --data FOLDER   # a sound of one's own                -> runs/finetuned/
    python -m training compare features         # or poolings: the papers' tables here -> benchmarks/results/
    python -m training dataset NAME FOLDER      # a captioned collection: what of it is there
    python -m training experiment NAME          # a table of the papers, on their data   -> runs/papers/
    python -m training system MODEL NAME FOLDER # one of their systems on any collection

`make bundle` runs what the default bundle needs, in this order. An interrupted command goes on where it was.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from edge_runtime.bundle import DEFAULT_BUNDLE as BUNDLE
from edge_runtime.errors import EarmarkError
from training import paper_commands, recipe_commands
from training.encoders import encoder_of, features_of, tagger_of
from training.flags import RUNS, SETTINGS, SHARED, Sounds, Texts, Weights, defaults_of, parsed
from training.gates import GateError
from training.sounds import read_clips

__all__ = ["app", "run_command"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(paper_commands.dataset)
app.command()(paper_commands.experiment)
app.command(context_settings=SETTINGS)(paper_commands.system)
app.command()(recipe_commands.extras)
app.command(context_settings=SETTINGS)(recipe_commands.recipes)
app.command()(recipe_commands.evaluate)
app.command()(recipe_commands.fallback)
app.command()(recipe_commands.narrow)
app.command()(recipe_commands.widths)


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
    from training.phrasings import phrasings_of

    clips = read_clips(sounds)
    own = [text for clip in clips for text in (*phrasings_of(clip.label), *clip.captions)]
    own += [*own_lines(), *class_names(weights)]
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
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    size: Annotated[int, typer.Option(help="Captions to keep, drawn at random.")] = 16_000,
    seed: int = 0,
    out: Path = RUNS / "captions.npz",
) -> None:
    """Embed captions, and all texts of the clips, with a sentence encoder: it teaches which of them are alike, and by
    told sounds what is to be heard in them."""
    from training.caption_teacher import own_texts
    from training.corpora import corpus_texts
    from training.features import class_names
    from training.hold_out import HoldOut
    from training.told_captions import told_captions
    from training.told_sounds import said_without, tags_of
    from training.words import sentence_embeddings

    pool = sorted({text.strip() for text in corpus_texts(texts) if 2 <= len(text.split()) <= 30})
    rng = np.random.default_rng(seed)
    chosen = [pool[i] for i in rng.choice(len(pool), size=min(size, len(pool)), replace=False)]
    clips, classes = read_clips(sounds), class_names(weights)
    own = own_texts(clips, classes)
    held = HoldOut.of(clips)
    said = said_without(clip for clip in clips if held.why(clip))
    embedded = sentence_embeddings([*chosen, *own, *said, *classes]).astype(np.float16)
    told = np.concatenate((tags_of(said, classes), np.eye(len(classes), dtype=np.float32)))  # a name is its own class
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        texts=np.array(chosen),
        embeddings=embedded[: len(chosen)],
        own_texts=np.array(own),
        own_embeddings=embedded[len(chosen) :][: len(own)],
        tags=told_captions(embedded[: len(chosen)], embedded[-len(told) :], told).astype(np.float16),
    )
    print(f"{out}: {len(chosen)} of {len(pool)} captions, {len(own)} texts of the clips")


@app.command()
def pairs(texts: Texts = SHARED / "data/text", out: Path = RUNS / "pairs.npz") -> None:
    """Gather the texts that people wrote of one recording each, and embed a sentence of it: for --pairs-weight."""
    from training.described_sounds import described_sounds
    from training.paired_texts import PairedTexts
    from training.words import sentence_embeddings

    found = [sound for sound in described_sounds(texts) if len(sound.names) + len(sound.sentences) > 1]
    embedded = sentence_embeddings([(sound.sentences or sound.names)[0] for sound in found])
    PairedTexts(found, embedded).save(out)
    print(f"{out}: {len(found)} sounds, {sum(len(sound.names) + len(sound.sentences) for sound in found)} texts")


@app.command()
def features(
    copies: Annotated[int, typer.Option(help="Roughened copies beside the clean one.")] = 3,
    sounds: Sounds = SHARED / "data/sounds",
    weights: Annotated[Path, typer.Option(help="The published weights: the file, or its folder.")] = (
        SHARED / "weights/efficientat_mn04_as"
    ),
    student: Annotated[
        Path | None,
        typer.Option(help="Instead of mn04: a folder of `distil` or `stream` with its network, or lms, or mfcc."),
    ] = None,
    reverb: Annotated[float, typer.Option(help="The share of a roughened copy's clips that stand in a room.")] = 0.0,
    masks: Annotated[float, typer.Option(help="The share of its windows that lack bands and frames.")] = 0.0,
    beds: Annotated[float, typer.Option(help="The share of its clips that stand in a background.")] = 0.0,
    brief: Annotated[float, typer.Option(help="The share of its clips of which only a short stretch is there.")] = 0.0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Default: runs/features, or lms/ or mfcc/ in it; features/ in --student, or --data of --expert."
        ),
    ] = None,
    expert: Annotated[
        str, typer.Option(help="Instead: this expert's features by clip id, of a whole collection.")
    ] = "",
    collection: Annotated[str, typer.Option(help="With --expert: a name of `dataset`.")] = "shared",
    data: Annotated[Path | None, typer.Option(help="With --expert: the collection's folder; default --sounds.")] = None,
    workers: Annotated[int, typer.Option(help="With --expert: processes.")] = 2,
) -> None:
    """Run the frozen encoder over every clip; or any expert of the papers. Resumable: what is there stays.

    Experts: lms, mfcc, vggish, vggsound, cnn14, cnn10, cnn6, mn04, mn10.
    """
    if expert:
        _expert_features(expert, weights, collection, data or sounds, out, workers)
        return
    from training.features import extract

    net, front_end = encoder_of(student, weights)
    clips = read_clips(sounds)
    out = out or features_of(student)
    shares = {"reverb": reverb, "masks": masks, "beds": beds, "brief": brief}
    for path in extract(clips, net, *front_end, out=out, copies=copies, **shares):
        print(path)


@app.command(context_settings=SETTINGS)
def distil(
    context: typer.Context,
    out: Path = RUNS / "slim",
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    resume: Annotated[bool, typer.Option(help="Go on from last.pt, also with another end.")] = False,
) -> None:
    """Teach a slim CNN14 what mn04 hears. Every field of DistilConfig is a flag: --channels, --epochs, --device, …"""
    from training.distil import DistilConfig, exams_of
    from training.distil import distil as run
    from training.distil_batches import Lessons
    from training.mel_tables import efficientat_mel, panns_mel
    from training.mn import load_mn04
    from training.train import device_of
    from training.waveforms import Waveforms

    config = DistilConfig(**parsed(context.args, defaults_of(DistilConfig)))
    device = device_of(config.device)
    rate_hz = panns_mel()[0].rate_hz
    clips = read_clips(sounds)
    train, val = ([clip for clip in clips if clip.split == split] for split in ("train", "val"))
    heard = Waveforms.read(train, rate_hz, device)
    lessons = Lessons.on(device, train, heard, load_mn04(weights), (efficientat_mel(), panns_mel()))
    exams = exams_of(val, Waveforms.read(val, rate_hz, device), lessons)
    run(lessons, exams, config, out, resume=resume)


@app.command(context_settings=SETTINGS)
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

    config = StreamTuningConfig(**parsed(context.args, defaults_of(StreamTuningConfig)))
    clips = read_clips(sounds)
    front_end = efficientat_mel()
    heard = _heard_and_taught(clips, features, copies, front_end)
    net = tune_stream(clips, heard, load_mn04(weights), STREAMING_MN04, front_end, config, out, resume=resume)
    (out / "features").mkdir(exist_ok=True)
    for copy, (taught, mels) in enumerate(heard):
        path = out / "features" / f"streaming-{copy}.npz"
        save(path, hear_again(net, taught, [mels.window(row) for row in range(len(taught.lengths))]))
        print(path)


@app.command(context_settings=SETTINGS)
def train(
    context: typer.Context,
    out: Path = RUNS / "train",
    vectors: Path = RUNS / "words.npz",
    features: Path = RUNS / "features",
    captions: Path = RUNS / "captions.npz",
    pairs: Path = RUNS / "pairs.npz",
    sounds: Sounds = SHARED / "data/sounds",
    weights: Weights = SHARED / "weights/efficientat_mn04_as",
    student: Annotated[Path | None, typer.Option(help="A folder of `distil` or `stream`: its network's features.")] = (
        None
    ),
    resume: Annotated[bool, typer.Option(help="Go on from last.pt.")] = False,
) -> None:
    """Train the dual encoder. Every field of TrainConfig is a flag: --epochs, --loss, --seed, --device, …"""
    from training.caption_teacher import CaptionTeacher
    from training.extras import Extras
    from training.features import class_names, load
    from training.paired_texts import PairedTexts
    from training.train import TrainConfig
    from training.train import train as run
    from training.words import WordVectors

    config = TrainConfig(**parsed(context.args, defaults_of(TrainConfig)))
    found = sorted(features.glob("*-*.npz"))
    if not found:
        raise FileNotFoundError(f"{features} holds no features: run `python -m training features` first")
    checkpoint = run(
        read_clips(sounds),
        load(found),
        WordVectors.load(vectors),
        config,
        out,
        class_names=class_names(weights),
        tagger=tagger_of(encoder_of(student, weights)[0]),
        teacher=CaptionTeacher.load(captions) if captions.exists() else None,
        extras=Extras.load(features),
        pairs=PairedTexts.load(pairs) if config.pairs_weight else None,
        resume=resume,
    )
    print(json.dumps(checkpoint.validation))


@app.command(context_settings=SETTINGS)
def finetune(
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="Your recordings: a subfolder a sound, or with captions.csv.")],
    bundle: Annotated[Path, typer.Option(help="What is to learn them: any bundle; default: the shipped one.")] = BUNDLE,
    out: Path = RUNS / "finetuned",
) -> None:
    """Teach a bundle a sound of one's own. Every field of FinetuneConfig is a flag: --steps, --keep, …

    Exit code 1, and nothing written, where the new sound gains nothing or the old benchmark loses more than a point.
    """
    from training.finetune import FinetuneConfig
    from training.teach import Lesson, teach

    config = FinetuneConfig(**parsed(context.args, defaults_of(FinetuneConfig)))
    try:
        found = teach(Lesson(data, bundle, out), config)
    except GateError as error:
        print(f"training: nothing was written: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(json.dumps({"out": str(out), "own_r1": found.own}))


@app.command()
def compare(
    table: Annotated[str, typer.Argument(help="features or poolings")],
    epochs: int = 25,
    seeds: int = 3,
    copies: Annotated[int, typer.Option(help="Copies of the clips to hear, the clean one first.")] = 2,
    precision: Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 on a GPU.")] = "auto",
    vectors: Path = RUNS / "words.npz",
    captions: Path = RUNS / "captions.npz",
    sounds: Sounds = SHARED / "data/sounds",
    runs: Annotated[Path, typer.Option(help="The folder that holds every contender's features.")] = RUNS,
    out: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/TABLE.md")] = None,
) -> None:
    """One of the papers' tables on the shared sounds: each contender trained from several seeds. Resumable."""
    from training.caption_teacher import CaptionTeacher
    from training.compare import TABLES, Setting
    from training.compare import compare as run
    from training.words import WordVectors

    if table not in TABLES:
        raise typer.BadParameter(f"{table!r} is no table: there are {', '.join(TABLES)}")
    teacher = CaptionTeacher.load(captions) if captions.exists() else None
    setting = Setting(read_clips(sounds), WordVectors.load(vectors), teacher, runs, epochs, seeds, copies, precision)
    path = out or Path(__file__).parents[1] / "benchmarks/results" / f"{table}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run(table, setting))
    print(path)


def _expert_features(expert: str, weights: Path, collection: str, data: Path, out: Path | None, workers: int) -> None:
    from training.datasets.readers import READERS
    from training.experts.extraction import extract
    from training.experts.extractors import SOURCES

    for what, given, known in (("expert", expert, SOURCES), ("collection", collection, READERS)):
        if given not in known:
            raise typer.BadParameter(f"{given!r} is no {what}: there are {', '.join(known)}")
    # the shared sounds lie where nothing is written
    folder = out or (RUNS / "shared/features" if collection == "shared" else data / "features")
    try:
        found = extract(READERS[collection].read(data), expert, weights=weights, out=folder, workers=workers)
    except KeyboardInterrupt:
        print(f"training: stopped; what is finished is in {folder}: the same command goes on", file=sys.stderr)
        raise typer.Exit(130) from None
    print("\n".join(found.lines()))


def _heard_and_taught(clips: list, features: Path, copies: int, front_end: tuple) -> list[tuple]:
    """The teacher's features of each copy, the clean one first, and the frames that a student hears of it."""
    from training.features import load
    from training.mels import extract_mels

    teacher = load(sorted(features.glob("*-*.npz"))[:copies])
    if not teacher:
        raise FileNotFoundError(f"{features} holds no features: run `python -m training features` first")
    paths = [features / "mels" / f"streaming-{copy}.npz" for copy in range(len(teacher))]
    mels = [extract_mels(clips, copy, front_end, path=path) for copy, path in enumerate(paths)]
    return list(zip(teacher, mels, strict=True))


def own_lines() -> list[str]:
    """What training and the default vocabulary say beside the labels."""
    from training.joint_captions import AT_ONCE, BEHIND, IN_TURN
    from training.phrasings import TEMPLATES

    return [*TEMPLATES, *AT_ONCE, *BEHIND, *IN_TURN, *phrase_lines()]


def phrase_lines() -> list[str]:
    """The default vocabulary that a bundle ships."""
    from edge_runtime.phrases import read_phrase_file

    return read_phrase_file(Path(__file__).parents[1] / "export" / "phrases.txt")


def run_command(arguments: Sequence[str] | None = None) -> int:
    """The exit code. `arguments`: those of the command line, or others in their place."""
    try:
        app(arguments)
    except (EarmarkError, FileNotFoundError, ValueError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except SystemExit as done:  # how typer ends, well or with a usage error
        return int(done.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(run_command())
