"""Models by name (hub, folder, GGUF file, Python package) and as reward scorers. They know no suite and no method."""
