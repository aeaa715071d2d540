"""`python -m benchmarks retrieval`: every figure of the model card, and how far it holds.

    suite       what it asks                                              file
    closed      the test split: sources, labels, captions, widths         closed.py, closed_tables.py
    robust      noise, narrow bands, levels, lengths, mixtures, no sound  robust.py, variants.py
                other words for the same labels                           wording.py
    detection   long scenes as a live stream: hits, false alerts, delay   detection.py, scenes.py, answers.py
    open        sources and labels that training never had                open.py, training/hold_out.py

Every figure has a 95 % interval over recordings (training/bootstrap.py). The bundles are heard through the runtime,
from audio files; nothing is cached, so nothing can be stale.
"""
