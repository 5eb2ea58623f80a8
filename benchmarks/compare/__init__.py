"""Compare networks on data before choosing one: what ``python -m benchmarks`` runs.

A comparison is a small TOML file (``configuration``): networks, frames, data, training, seeds. Each
combination is one run, with one JSON of its own in a folder (``runs``); a report is made of what
lies in the folder, and of nothing else (``report``).
"""
