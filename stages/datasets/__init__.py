"""Readers of the vendors' formats, the image store and the resamplers."""
