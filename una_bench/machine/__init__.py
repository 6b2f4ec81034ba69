"""The machine and this process on it: processor, environment, threads, requests to stop. It knows no model."""
