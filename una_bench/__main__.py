"""``python -m una_bench`` is ``una-bench``."""

from una_bench.cli import main

if __name__ == "__main__":
    main()
