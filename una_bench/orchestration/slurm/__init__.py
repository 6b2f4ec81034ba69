"""Tasks as jobs of a Slurm cluster, by submitit. No torch; `job` runs on the nodes, the rest where the command runs."""
