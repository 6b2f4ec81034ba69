"""The regression gate: records against a committed baseline. It reads records alone."""
