"""One process whose memory is measured: a listener with a home's vocabulary hears half a minute of noise.

    python -m benchmarks.listening BUNDLE HOME          # one JSON line: MiB

It imports no more than the runtime does, and answers at every hop of the encoder.
"""

import json
import sys

from benchmarks.resident import HEARD_S, memory_mib, noise
from edge_runtime import Engine


def main(folder: str, home: str) -> None:
    engine = Engine.open(folder, home=home, write=False)
    rate_hz = engine.bundle.manifest.mel.rate_hz
    hop = round(engine.bundle.manifest.segment_s * rate_hz)
    blocks = noise(hop, round(HEARD_S * rate_hz) // hop)
    answers = sum(1 for _ in engine.listen(blocks, rate_hz=rate_hz, hop=1))
    print(json.dumps({**memory_mib(), "phrases": len(engine.phrases), "answers": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
