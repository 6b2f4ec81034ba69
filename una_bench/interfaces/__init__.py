"""Method, Benchmark, Problem, Job, Budget, Prepared, and the registry that finds them by name.

No implementation of any of them: those are in methods/, benchmarks/ and problems/.
"""
