"""The one exception that people see: what arrived, what was expected, what to do.

Anything raised as `EarmarkError` is printed as one line by the command line and ends it with exit code 2. Every
other exception is a defect of Earmark and keeps its traceback.
"""

__all__ = ["AudioError", "BundleError", "ConfigError", "EarmarkError", "HomeError", "PhraseError"]


class EarmarkError(Exception):
    """Base of all errors that a user can cause and mend. The message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class AudioError(EarmarkError):
    """A source of sound that cannot be read as asked."""


class BundleError(EarmarkError):
    """A bundle that is damaged, of another version, or not what its manifest says."""


class ConfigError(EarmarkError):
    """A configuration that does not say what is to be done."""


class PhraseError(EarmarkError):
    """A text that cannot become a phrase."""


class HomeError(EarmarkError):
    """The folder that holds the vocabulary and the archive cannot be used."""
