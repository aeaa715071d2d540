"""The two papers' systems whole: their models, optimiser, texts, training loop and evaluation.

config.py has every setting of a run; loop.py trains; the rest is one idea a file. "Audio-Text Retrieval in Context" is
paper 1 here, "Audio Retrieval with Natural Language Queries" paper 2.
"""
