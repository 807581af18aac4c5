"""The project's code; `python -m` of one of its commands can be stopped from here on."""

from src import stopping

stopping.listen_from_the_start()
