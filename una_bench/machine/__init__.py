"""The machine and this process: processor, environment, threads, stop requests. It knows no model."""
