"""Execution of a plan: preparation, processes, run folder, progress.

It knows in which process work runs, not what the work is; imports no torch.
"""
