"""Answers that everybody gets alike, kept for a moment."""
