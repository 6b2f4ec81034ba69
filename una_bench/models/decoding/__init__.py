"""Faster decoding with unchanged answers. It knows neither training nor evaluation."""
