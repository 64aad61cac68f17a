"""Does a test fail when the code is broken? `make mutants` breaks it, one change at a time."""
