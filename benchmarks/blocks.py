"""Measured text inside a Markdown file: a command puts it between `<!-- NAME -->` and `<!-- end -->`.

filled("<!-- speed -->\\nold\\n<!-- end -->\\n", {"speed": "new"})
"""

import re
from collections.abc import Mapping, Sequence

from benchmarks.machine import MachineCard
from benchmarks.report import Report, Table, shown

__all__ = ["BLOCK", "blocks_of", "filled", "markdown_rows", "markdown_table", "of_title", "page"]

BLOCK = re.compile(r"(<!-- (?P<name>[\w ]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def filled(text: str, known: Mapping[str, str]) -> str:
    """The text with the given blocks as they should be; other blocks stay."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}{known[match['name']]}\n{match[4]}" if match["name"] in known else match[0]

    return BLOCK.sub(block, text)


def blocks_of(text: str) -> dict[str, str]:
    """What stands in each block, by its name."""
    return {match["name"]: match["text"].rstrip("\n") for match in BLOCK.finditer(text)}


def markdown_rows(table: Table) -> str:
    """The table without its title."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(shown(cell) for cell in line)} |" for line in lines)


def markdown_table(table: Table, *, level: int) -> str:
    """With its title as a heading of that level; the bundle's name, which the page has already, is left out."""
    return f"{'#' * level} {_without_name(table.title)}\n\n{markdown_rows(table)}"


def page(title: str, report: Report, card: MachineCard, command: str) -> str:
    """A report as a page, with what it was measured by and on."""
    libraries = ", ".join(f"{name} {version}" for name, version in card.libraries.items())
    load = f"load {card.before.load} before, {(card.after or card.before).load} after, of {card.cores} cores"
    about = (
        f"By `{command}`, commit {card.commit or 'unknown'}, on {card.cpu} ({load}), {libraries}, Python {card.python}."
    )
    tables = [markdown_table(table, level=2) for table in report.tables]
    return "\n\n".join([f"# {title}", about, *tables, *report.notes]) + "\n"


def _without_name(title: str) -> str:
    told = title.split(": ", 1)[-1]
    return told[0].upper() + told[1:]


def of_title(tables: Sequence[Table], begins: str) -> Table:
    """The one table whose title, less the bundle's name, begins so."""
    (found,) = [table for table in tables if table.title.split(": ", 1)[-1].startswith(begins)]
    return found
