"""Figures of a comparison. Each module draws one kind from a `style.Scene`."""
