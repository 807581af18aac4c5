"""Images whose label is probably wrong, for a person to look at.

`python -m src.labels` writes them to `paths.LABELS`; whoever shows them reads that file by
`src.labels.suspects.read_suspects`.
"""
