"""A language model whose responses a known, bounded reward function judges. It knows no method."""
