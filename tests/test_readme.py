"""The README says what is so: its tables are the bundle's, its commands and files exist."""

import re
from pathlib import Path

import typer

from benchmarks.blocks import blocks_of
from benchmarks.readme import README, filled, tables
from edge_runtime.cli import app
from training.__main__ import app as training

TEXT = README.read_text(encoding="utf-8")
ROOT = README.parent


def test_its_tables_are_those_of_the_shipped_bundle() -> None:
    assert set(tables()) <= set(blocks_of(TEXT))
    assert filled(TEXT, tables()) == TEXT, "run `python -m benchmarks.readme`"


def test_every_earmark_command_in_it_exists() -> None:
    group = typer.main.get_command(app)
    named = set(re.findall(r"^earmark ([a-z]+)", TEXT, re.MULTILINE))
    assert named
    assert named <= set(group.commands)  # type: ignore[attr-defined]


def test_every_command_of_the_training_side_in_it_exists() -> None:
    commands = typer.main.get_command(training).commands  # type: ignore[attr-defined]
    named = set(re.findall(r"python -m training ([a-z]+)", TEXT))
    assert named and named <= set(commands)
    assert {"experiment", "system", "dataset", "compare"} <= named


def test_every_file_of_its_map_exists() -> None:
    block = TEXT.split("## Map")[1].split("```")[1]
    folder, missing = Path(), []
    for line in block.strip().splitlines():
        if match := re.match(r"(\w+/)", line):
            folder = ROOT / match[1]
        missing += [name for name in re.findall(r"\b(\w+\.py)\b", line) if not list(folder.rglob(name))]
    assert not missing


def test_the_model_card_keeps_the_notices_of_what_it_is_made_from() -> None:
    card = (ROOT / "edge_runtime/default_bundle/MODEL_CARD.md").read_text(encoding="utf-8")
    for needed in ("Copyright (c) 2022 Florian Schmid", "Permission is hereby granted", "CC BY-NC", "Non-commercial"):
        assert needed in card


def test_no_shipped_file_holds_a_path_of_the_machine_that_made_it() -> None:
    files = sorted((ROOT / "edge_runtime/default_bundle").iterdir())
    assert files
    for file in files:
        content = file.read_bytes()
        for trace in (b"stack_trace", b"site-packages", b".venv", str(ROOT).encode()):
            assert trace not in content, f"{file.name} holds {trace!r}: export strips it"
