"""Method, Benchmark, Problem, Job, Budget, Prepared and their registry. Implementations are elsewhere."""
