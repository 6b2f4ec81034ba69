"""Tables as data and their output formats, from records alone."""
