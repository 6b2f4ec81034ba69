"""Version of una-bench, stored in every record, baseline and bundle."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("una-bench")
except PackageNotFoundError:  # a bare checkout that was never installed
    VERSION = "0+unknown"
