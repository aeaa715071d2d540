"""A stream over the network, as ffmpeg hears it, opened again whatever happens to it.

    for stretch in stream("rtsp://camera.lan/live").stretches(): …

ffmpeg is a process of its own: what strangers send is decoded there, and the only thing that it may open is the
network. It gives PCM with a header that tells its rate. Time is when the sound came, which is later than it was made
by what the network takes; frames that never came show by the clock (intake.py), as a microphone's do.
"""

import os
import re
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import numpy as np

from edge_runtime.errors import AudioError
from edge_runtime.resample import check_rate
from edge_runtime.sources.arrivals import NETWORK
from edge_runtime.sources.intake import Intake
from edge_runtime.sources.reopened import ReopenedSource
from edge_runtime.sources.stop import Stop

__all__ = ["SCHEMES", "StreamFeed", "check_url", "shown", "stream"]

SCHEMES = {
    "rtsp": ("-rtsp_flags", "prefer_tcp", "-allowed_media_types", "audio"),  # the video stays where it is
    "rtmp": (),
    "rtmps": (),
    "http": ("-re",),  # what was recorded before comes at once, and is heard as if it were live
    "https": ("-re",),
    "srt": (),
    "udp": (),
    "rtp": (),
}
"""What ffmpeg needs to be told before a URL of each kind."""
PROTOCOLS = "rtsp,rtp,srtp,rtmp,rtmps,rtmpt,http,https,httpproxy,hls,crypto,tcp,tls,udp,srt"
"""What a stream may lead to: a playlist that names a file of this device gets nothing."""
MAX_URL = 2048
OUT = "-vn -sn -dn -map_metadata -1 -ac 1 -c:a pcm_s16be -f au -flush_packets 1 pipe:1"
OPEN_S = 20.0
"""ffmpeg looks at a stream for five seconds before it says what it is; a camera may have to wake up."""
BURST_S = 0.5
"""What ffmpeg kept while it looked comes at once when it begins: taken as one block, its time is right."""
MAX_BURST = 1 << 20
END_S = 0.3
"""A camera with few sessions is told goodbye; what hangs is killed, and a stop takes half a second."""
LOOK_S = 0.05
READ_BYTES = 1 << 14
AU = struct.Struct(">4sIIIII")
"""Sun's audio header: magic, where the sound begins, its length, its encoding, its rate, its channels."""
AU_16_BIT = 3
MAX_SAID, MAX_REASON = 2000, 200


def stream(url: str, *, name: str | None = None, patient: bool = False) -> ReopenedSource:
    """`name`: default the URL without its secrets. `patient`: one that does not answer yet is waited for; else its
    first opening raises AudioError. Raises AudioError where that is no URL of a stream."""
    check_url(url)
    return ReopenedSource(name or shown(url), partial(StreamFeed, url), patient=patient)


def check_url(url: str) -> None:
    """Raises AudioError for what ffmpeg is never asked to open."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in SCHEMES and bool(parts.netloc) and len(url) <= MAX_URL
    except ValueError:  # brackets that are no IPv6 address
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise AudioError(
            f"{shown(url)[:100]!r} is no stream that can be opened: give {'://, '.join(SCHEMES)}:// and a host"
        )


def shown(url: str) -> str:
    """What may be told to anybody: a URL without user, password and query; anything else as it is."""
    return url if "://" not in url else re.sub(r"//[^/]*@", "//", url.split("?", maxsplit=1)[0])


class StreamFeed:
    """One run of ffmpeg on one URL."""

    def __init__(self, url: str, stop: Stop) -> None:
        """Raises AudioError where ffmpeg is not installed, or cannot hear the stream."""
        self._url = url
        self._said = b""
        self._trouble = ""
        self._intake: Intake | None = None
        self._stop = stop
        self._closing = Stop()
        self._known = threading.Event()
        self._process = _started(url)
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()
        until_s = time.monotonic() + OPEN_S
        try:
            while not self._known.wait(LOOK_S) and not stop and time.monotonic() < until_s:
                pass
            if self._intake is None:
                raise AudioError(self._trouble or f"{shown(url)} has given no sound for {OPEN_S:.0f} s: does it run?")
        except BaseException:  # Ctrl-C, too
            self.close()
            raise
        self.intake = self._intake

    def close(self) -> None:
        """End ffmpeg, leave no zombie."""
        self._closing.set()
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        assert self._process.stdout and self._process.stderr
        self._process.stdout.close()
        self._process.stderr.close()

    def _run(self) -> None:
        """In a thread: sound from its pipe into the ring, until it ends."""
        rest, begun_s = b"", 0.0
        try:
            for piece in self._pieces():
                rest += piece
                if not rest:
                    continue
                begun_s = begun_s or time.monotonic()
                if self._intake or time.monotonic() - begun_s > BURST_S or len(rest) > MAX_BURST:
                    rest = self._take(rest)
            if rest:
                self._take(rest)
            self._trouble = self._why()
        except AudioError as error:
            self._trouble = str(error)
        finally:
            if self._intake:
                self._intake.end(self._trouble)
            self._known.set()

    def _take(self, data: bytes) -> bytes:
        """All whole samples; what remains. The first ones come behind the header."""
        if self._intake is None:
            rate_hz, data = _behind_header(data)
            self._intake = Intake(rate_hz, channels=1, stop=self._stop, tolerance=NETWORK)
            self._known.set()
        whole = len(data) & ~1
        if whole:
            samples = np.frombuffer(data[:whole], ">i2").astype(np.float32) / np.float32(32768)
            self._intake.take(samples[:, None])  # (n, 1)
        return data[whole:]

    def _pieces(self) -> Iterator[bytes]:
        """Sound as ffmpeg writes it, b"" where it pauses; beside that, its words are kept. Ends when both pipes do."""
        assert self._process.stdout and self._process.stderr
        sound = self._process.stdout
        pipes = [sound, self._process.stderr]
        while pipes and not self._closing:
            ready = self._closing.wait_for(*pipes, within_s=BURST_S)
            if not ready:
                yield b""
            for pipe in ready:
                data = os.read(pipe.fileno(), READ_BYTES)
                if not data:
                    pipes.remove(pipe)
                elif pipe is sound:
                    yield data
                else:
                    self._said = (self._said + data)[-MAX_SAID:]  # a stream full of faults has a line for each

    def _why(self) -> str:
        """What ffmpeg said last, or that it ended."""
        lines = self._said.decode(errors="replace").replace(self._url, shown(self._url)).split("\n")
        said = [shown(line.strip()) for line in lines if line.strip()]
        reason = "".join(filter(str.isprintable, said[-1]))[:MAX_REASON] if said else "ffmpeg ended"
        return f"{shown(self._url)} gives no sound ({reason}): check the address, and that it runs"


def _started(url: str) -> "subprocess.Popen[bytes]":
    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioError("a stream is heard through ffmpeg, which is not installed: `sudo apt install ffmpeg`")
    options = ("-protocol_whitelist", PROTOCOLS, *SCHEMES[urlsplit(url).scheme])
    try:
        return subprocess.Popen(  # noqa: S603 - a list, no shell; the URL is checked
            [program, "-nostdin", "-hide_banner", "-loglevel", "error", *options, "-i", url, *OUT.split()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for us: what ffmpeg has is still heard
        )
    except OSError as error:
        raise AudioError(f"{program} cannot be run ({error.strerror}): install ffmpeg again") from error


def _behind_header(data: bytes) -> tuple[int, bytes]:
    """Rate in Hz, and the sound. Raises AudioError."""
    if len(data) < AU.size:
        raise AudioError(f"ffmpeg gives {data!r}, expected a header: install its current version")
    magic, offset, _, encoding, rate_hz, channels = AU.unpack(data[: AU.size])
    if (magic, encoding, channels) != (b".snd", AU_16_BIT, 1) or offset > len(data):
        raise AudioError(f"ffmpeg gives {data[: AU.size]!r}, expected 16-bit mono: install its current version")
    check_rate(rate_hz)
    return rate_hz, data[offset:]
