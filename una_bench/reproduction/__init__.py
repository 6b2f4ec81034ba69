"""Comparison with published numbers, from records and published tables alone."""
