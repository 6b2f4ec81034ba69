"""Version of una-bench: every record, baseline and bundle carries it."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("una-bench")
except PackageNotFoundError:  # a bare checkout that was never installed
    VERSION = "0+unknown"
