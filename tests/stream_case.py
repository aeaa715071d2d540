"""Servers of streams on this machine: RTSP (PCM over RTP inside the connection) and HTTP (a WAV without an end).

    with RtspServer(samples, RATE_HZ) as server:
        server.url
        server.pause(seconds)       # gives nothing for so long, and loses what was then

Each connection hears the samples from the start, in real time, again and again.
"""

import contextlib
import shutil
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from typing import Self

import numpy as np
import pytest

FRAME_S = 0.02
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg: sudo apt install ffmpeg")


class _Server:
    """One thread a connection."""

    scheme = ""

    def __init__(self, samples: np.ndarray, rate_hz: int, port: int = 0) -> None:
        self.samples = (samples * 32767).astype(np.int16)
        self.rate_hz = rate_hz
        self.connections = 0
        self._silent_until_s = 0.0
        self._lost_until_s = 0.0
        self._open: set[socket.socket] = set()
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                server.connections += 1
                server._open.add(self.request)
                try:
                    server.serve(self.request)
                except OSError:  # the other end went
                    pass
                finally:
                    server._open.discard(self.request)

        class Threads(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._tcp = Threads(("127.0.0.1", port), Handler)
        self.port = self._tcp.server_address[1]
        self.url = f"{self.scheme}://user:secret@127.0.0.1:{self.port}/garden"
        threading.Thread(target=self._tcp.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Like a server that is killed: connections break, and nobody listens any more."""
        self._tcp.shutdown()
        self._tcp.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # the other end was quicker
                connection.shutdown(socket.SHUT_RDWR)

    def lose(self, seconds: float) -> None:
        """Give nothing for so long; what was then never comes."""
        self._lost_until_s = time.monotonic() + seconds

    def hold(self, seconds: float) -> None:
        """Give nothing for so long, and then all of it."""
        self._silent_until_s = time.monotonic() + seconds

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def _frames(self) -> Iterator[np.ndarray]:
        """20 ms each, in real time."""
        size = round(FRAME_S * self.rate_hz)
        frames = [self.samples[at : at + size] for at in range(0, len(self.samples) - size + 1, size)]
        started_s, number = time.monotonic(), 0
        while True:
            due_s = started_s + number * FRAME_S
            time.sleep(max(0.0, due_s - time.monotonic(), self._silent_until_s - time.monotonic()))
            if due_s >= self._lost_until_s:
                yield frames[number % len(frames)]
            number += 1


class HttpServer(_Server):
    scheme = "http"

    def serve(self, connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + self.header())
        for frame in self._frames():
            connection.sendall(frame.astype("<i2").tobytes())

    def header(self) -> bytes:
        """Of a WAV without an end."""
        return WAV_HEADER.pack(
            b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, 1, self.rate_hz, 2 * self.rate_hz, 2, 16, b"data", 2**32 - 1
        )


class AnswerServer(_Server):
    """HTTP that answers with what `answers` has under a path, and to anything else with `answers[""]`; None: never."""

    scheme = "http"

    def __init__(self, answers: dict[str, bytes | None]) -> None:
        super().__init__(np.zeros(0, np.float32), 1)
        self.answers = answers

    def serve(self, connection: socket.socket) -> None:
        path = connection.recv(4096).split(b" ")[1].decode()
        body = self.answers.get(path, self.answers[""])
        if body is None:
            connection.recv(1)  # until the other end goes
        else:
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class RtspServer(_Server):
    """The few words of RTSP that ffmpeg says, and L16 as RFC 3551 has it."""

    scheme = "rtsp"

    def serve(self, connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        while request := lines.readline():
            verb = request.split(b" ")[0]
            fields = {}
            while line := lines.readline().strip():
                name, _, value = line.partition(b":")
                fields[name.lower()] = value.strip()
            body, more = b"", b""
            if verb == b"DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=control:*\r\n"
                    f"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 L16/{self.rate_hz}/1\r\na=control:track1\r\n"
                ).encode()
                more = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n" % len(body)
            elif verb == b"SETUP":
                more = b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            elif verb == b"OPTIONS":
                more = b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            answer = b"RTSP/1.0 200 OK\r\nCSeq: %s\r\nSession: 1\r\n%s\r\n%s" % (fields[b"cseq"], more, body)
            connection.sendall(answer)
            if verb == b"PLAY":
                break
        size = round(FRAME_S * self.rate_hz)
        for number, frame in enumerate(self._frames()):
            rtp = struct.pack(">BBHII", 0x80, 97, number % 2**16, number * size % 2**32, 7)
            packet = rtp + frame.astype(">i2").tobytes()
            connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
