"""One question a file, committed with its answer in ``results/``."""
