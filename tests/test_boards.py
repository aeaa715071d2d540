"""Earmark on the processors of three boards, emulated: four minutes of one core."""

import subprocess
import sys

import pytest

from benchmarks.arm64.boards import missing_tools
from tests.conftest import ROOT


@pytest.mark.slow
def test_earmark_answers_alike_under_the_processors_of_three_boards() -> None:
    if missing := missing_tools():
        pytest.skip(f"needs Debian's {', '.join(missing)}: `make test-arm64 ARGS=--install`")
    pytest.importorskip("onnx", reason="needs the export extra")
    command = [sys.executable, "-m", "benchmarks.arm64"]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stdout
