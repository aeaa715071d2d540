"""MODEL_CARD.md: what the model is, what it was made from, what it may be used for, how well it does.

Every number stands between `<!-- NAME -->` and `<!-- end -->`. Those of the block `measured` are the export's own at
first; `python -m benchmarks.cards` puts in their place what it measures, with intervals.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from edge_runtime.manifest import Manifest
from training.evaluate import Report, markdown
from training.retrieval import RetrievalConfig
from training.sounds import Clip

__all__ = ["LICENCE", "NOTICES", "model_card", "retext_card"]

LICENCE = "non-commercial use only: trained on recordings of which most are CC BY-NC"
NOTICES = [
    "Audio encoder: EfficientAT mn04_as, MIT licence, Copyright (c) 2022 Florian Schmid "
    "(github.com/fschmid56/EfficientAT)",
    "AudioSet class names: CC BY 4.0, Google",
    "Recordings: ESC-50 and UrbanSound8K (CC BY-NC 3.0), Kitchen20 (Apache-2.0), donateacry (ODbL 1.0), OpenClonk "
    "and CC Sounds (CC BY 3.0, CC BY 4.0, CC0), Speech Commands noise (CC BY 4.0), scikit-maad (BSD-3)",
    "Word vectors: distilled from all-MiniLM-L6-v2 (Apache-2.0)",
]
MIT_NOTICE = """Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""


def model_card(
    manifest: Manifest,
    clips: Sequence[Clip],
    words_source: str,
    gates: Sequence[str],
    reports: dict[str, Report],
    *,
    towers: RetrievalConfig,
    encoder: Sequence[str] = (),
) -> str:
    """The card's text. `reports` by the title of their table; `gates` are the export's own measurements; `encoder`:
    what else is to be said of a streaming encoder, which was trained here."""
    heard = Counter(clip.source for clip in clips if clip.split == "train")
    mit = any("MIT licence" in notice for notice in manifest.notices)
    graphs = {"audio encoder": manifest.encoder.graph, "head": manifest.head.graph, "text encoder": manifest.text.graph}
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        "Hears everyday and field sounds and matches them with free-text captions in one joint space of "
        f"{manifest.head.width} numbers. Windows of {manifest.window_s:.2f} s"
        f"{', computed a hop at a time: the encoder streams' if encoder else ''}.",
        "",
        "## Parts",
        "<!-- parts -->",
        "| graph | precision | why |",
        "|---|---|---|",
        *(f"| {name} | {graph.precision} | {graph.why} |" for name, graph in graphs.items()),
        "<!-- end -->",
        "",
        f"Audio: {manifest.head.pooling} pooling, FC, context gate, L2{tagger_beside(towers)}. "
        f"Text: word vectors ({words_source}), NetRVLAD, FC, "
        'context gate, L2. Architecture: Lou et al., "Audio-Text Retrieval in Context" (2022), with a smaller encoder.',
        "",
        *(["<!-- profiles -->", *encoder, "<!-- end -->", ""] if encoder else []),
        "## Training data",
        "The audio encoder is made from a published one (see the notices) and was trained further here, with the two "
        "towers, on:"
        if encoder
        else "The audio encoder is as published (AudioSet); only the two towers were trained here, on:",
        "",
        "<!-- training data -->",
        "| source | clips |",
        "|---|---|",
        *(f"| {source} | {count} |" for source, count in sorted(heard.items())),
        "<!-- end -->",
        "",
        "Texts: the clips' labels in phrasings written for this project, human captions where a clip has them, "
        "AudioSet class names weighted by the encoder's own tags, and a sentence encoder's similarities between "
        "captions of "
        "AudioCaps, Clotho (development), BBC Sound Effects, FoleySet and SoundBible. No text of these corpora is in "
        "the bundle.",
        "",
        "## Licence",
        f"{manifest.licence[0].upper()}{manifest.licence[1:]}.",
        "",
        *(f"- {notice}" for notice in manifest.notices),
        "",
        *(["MIT licence of the audio encoder:", "", "```", MIT_NOTICE, "```", ""] if mit else []),
        "## How well it hears",
        "<!-- measured -->",
        *(line for title, report in reports.items() for line in [*markdown(report, title), ""]),
        "<!-- end -->",
        "",
        "Test clips come from the same collections as the training clips (no recording stands in both). Sounds unlike "
        "these are heard less well; speech is not understood; a score is a cosine, not a probability.",
        "",
        "## Measured at export",
        "<!-- export -->",
        "```",
        *gates,
        "```",
        "<!-- end -->",
    ]
    return "\n".join(lines) + "\n"


def tagger_beside(towers: RetrievalConfig) -> str:
    """What the audio side is told besides its own tower, in words: nothing, or the rest of a sentence."""
    if not towers.concept_gain:
        return ""
    where = "where that is near none of the texts of training, " if towers.known else ""
    return f"; {where}what the encoder's own AudioSet tagger hears is added"


def retext_card(manifest: Manifest, base: str, fingerprint: str, own: Mapping[str, int], gates: Sequence[str]) -> str:
    """The card of a bundle that was taught sounds of its owner's: what they are, how well they are heard, and below it
    all that is still so of the bundle that it was made from, whose card is `base`."""
    title, _, rest = base.partition("\n")
    about, _, tail = rest.partition("## How well it hears")
    closing = tail.partition("<!-- end -->")[2].partition("## Measured at export")[0].strip()
    parts = [
        f"# {manifest.name} {manifest.version}",
        f"Made from {title.removeprefix('# ')} ({fingerprint}) by `python -m training finetune`: the audio side is "
        "that bundle's to the last bit, the text side learned its owner's sounds. What follows is that bundle's card.",
        about.strip(),
        "## Taught by its owner",
        "<!-- own sounds -->\n| label | clips that were held out |\n|---|---|\n"
        + "\n".join(f"| {label} | {count} |" for label, count in own.items())
        + "\n<!-- end -->",
        "## How well it hears\n<!-- measured -->\nThe gates below say what was gained and lost.\n<!-- end -->",
        closing,
        "## Measured at export\n<!-- export -->\n```\n" + "\n".join(gates) + "\n```\n<!-- end -->",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def regraph_card(manifest: Manifest, base: str, fingerprint: str) -> str:
    """The card of a bundle whose encoder's graph was written anew, of which all else is still so; `base`: its card."""
    title, _, rest = base.partition("\n")
    about = f"The encoder's graph of {title.removeprefix('# ')} ({fingerprint}), written anew: the same weights."
    return f"# {manifest.name} {manifest.version}\n\n{about}\n{rest}"
