"""Records of cells: their format, storage and reading. The only interface between running and reporting."""
