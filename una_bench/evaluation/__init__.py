"""Evaluation by lm-eval as a library, on models already loaded. It knows no method."""
