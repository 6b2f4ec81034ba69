"""The figures of a comparison. Each module draws one kind from the same `style.Scene`."""
