"""Faster decoding with unchanged answers, for sampling and for evaluation. It knows neither."""
