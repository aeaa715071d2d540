"""Captioned collections of others, read where their owner put them: one reader each, one form for all.

collection.py has that form; a reader is a module with the collection's name.
"""
