"""Experts: pretrained networks, and plain descriptions of sound, whose outputs the papers' retrieval models combine.

expert.py says what an expert is to a model; store.py where its features lie; a network or a front end is a module with
the expert's name.
"""
