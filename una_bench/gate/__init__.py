"""Regression gate: a run's records against a committed baseline."""
