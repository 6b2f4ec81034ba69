"""The exactly solvable problem: every response can be enumerated, so the optimum is known. It knows no method."""
