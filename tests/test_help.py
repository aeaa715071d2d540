"""What the command says of itself: every command, every option, installed or not."""

import shutil
import subprocess

import pytest
import typer

from edge_runtime.cli import app


def commands(command, path=()):
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_those_that_the_issue_names():
    assert set(COMMANDS) >= {
        *("listen", "caption", "index", "search", "doctor", "devices", "demo", "bundle info"),
        *("phrases add", "phrases remove", "phrases list", "phrases import", "embed audio", "embed text"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_help(name):
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_help_is_printed_without_a_home_or_a_bundle(earmark):
    ran = earmark("listen", "--help")
    assert (ran.code, ran.err) == (0, "")
    for option in ("--top", "--phrases", "--bundle", "--home", "--seconds", "--json", "--no-archive", "--rate"):
        assert option in ran.out


def test_the_command_is_there_when_it_is_installed(earmark):
    command = shutil.which("earmark")
    if command is None:
        pytest.skip("the package is not installed; `python -m edge_runtime` is the same command")
    ran = subprocess.run([command, "--help"], capture_output=True, check=True, env=earmark.env)
    assert b"listen" in ran.stdout
