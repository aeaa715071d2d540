"""The source that a person names: `mic`, `mic:NAME`, `-`, a file, a folder, or a stream's URL.

source = open_source("mic:USB", name="garden", patient=True)
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from edge_runtime.errors import AudioError
from edge_runtime.sources.files import FileSource
from edge_runtime.sources.folder import FolderSource
from edge_runtime.sources.pipe import PcmPipe
from edge_runtime.sources.stream import stream
from edge_runtime.sources.stretch import LiveSource, Refused

__all__ = ["open_source"]

log = logging.getLogger(__name__)


def open_source(
    what: str,
    *,
    name: str | None = None,
    rate_hz: int | None = None,
    watch: bool = False,
    patient: bool = False,
    known: Callable[[Path], bool] | None = None,
    memory: Path | None = None,
    refused: Refused | None = None,
) -> LiveSource:
    """Nothing is opened yet. `name`: default what was asked for. `rate_hz`: of PCM on standard input (`-`).

    A folder is heard once, or for ever (`watch`), but for the files that are `known`; those that cannot be heard go to
    `refused` (default: logged). A microphone or stream that is not there is waited for where `patient`. `memory`: where
    microphones' hardware is remembered. Raises AudioError where that cannot be a source.
    """
    if what == "mic" or what.startswith("mic:"):
        from edge_runtime.sources.microphone import microphone  # PortAudio is only needed here

        return microphone(what.removeprefix("mic").removeprefix(":") or None, name=name, memory=memory, patient=patient)
    if what == "-":
        if rate_hz is None:
            raise AudioError("PCM on standard input has no header: give its rate, as in `--rate 16000`")
        return PcmPipe(sys.stdin.buffer, rate_hz=rate_hz, name=name or what)
    if "://" in what:
        return stream(what, name=name, patient=patient)
    if Path(what).is_dir() or watch:
        return FolderSource(Path(what), refused=refused or _log, name=name, watch=watch, known=known)
    return FileSource(Path(what), name=name)


def _log(error: AudioError) -> None:
    log.warning("%s", error)
