"""Measurement of memory, time, tokens, operations and energy of a training. The instruments know no method."""
