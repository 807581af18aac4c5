"""The stages of the pipeline; `python -m` of one can be stopped from here on."""

from src import stopping

stopping.listen_from_the_start()
