"""The exactly solvable problem: every response of every prompt can be enumerated, so the optimum is known."""
