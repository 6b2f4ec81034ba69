"""UNA as a library, in TRL's style: losses, trainers, sampling. It knows nothing of suites, runs and records."""
