"""Commands: each parses, calls one function and prints. No logic and no torch."""
