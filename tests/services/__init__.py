"""The servers of docs/scale.md on this machine alone, for tests and for trying (`make up`)."""
