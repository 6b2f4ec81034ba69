"""Exactly solvable problem: all responses can be enumerated, so the optimum is known. It knows no method."""
