"""Other libraries on the same task: `python -m benchmarks.peers`.

Each `*_finetune.py` is a program of its own, which runs in an environment of its own and imports
only its library and `benchmarks.peers.measure`.
"""
