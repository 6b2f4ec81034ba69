"""Published numbers beside ours, with a verdict. It reads records and published tables alone."""
