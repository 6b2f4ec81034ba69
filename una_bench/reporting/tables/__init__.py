"""Tables as data, and each way to print one. They read records alone."""
