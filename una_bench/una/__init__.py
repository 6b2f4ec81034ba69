"""UNA as a library: configuration, data formats and trainers (arXiv:2408.15339)."""
