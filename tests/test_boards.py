"""Earmark on the processors of three boards, emulated: begun with the first test, asked for where it stands here."""

from pathlib import Path

import pytest
from boards_case import BOARDS, Boards

from benchmarks.arm64.boards import missing_tools


@pytest.mark.slow
def test_earmark_answers_alike_under_the_processors_of_three_boards(pytestconfig: pytest.Config, tmp_path: Path):
    if missing := missing_tools():
        pytest.skip(f"needs Debian's {', '.join(missing)}: `make test-arm64 ARGS=--install`")
    pytest.importorskip("onnx", reason="needs the export extra")
    boards = pytestconfig.stash.get(BOARDS, None) or Boards.started(tmp_path / "said.txt")
    code, said = boards.ended()
    print(said)
    assert code == 0, said
