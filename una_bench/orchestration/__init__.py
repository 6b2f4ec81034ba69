"""The run of a plan: preparation, processes, run folder, progress.

It knows where work runs, not what it does; no torch.
"""
