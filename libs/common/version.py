"""The version of this software."""

VERSION = "0.1.0"  # of the distribution; a test compares it with pyproject.toml
