"""Parametric faces: the default dataset, rendered here without downloads or photographs of anyone.

A subject has random identity traits; an image of it has a random pose, expression, light, camera
and surroundings. The draws depend only on the seed and the numbers of subject and image, so a
smaller set is part of a larger one.

numpy's functions differ in the last bit between vector instruction sets. Everything is therefore
computed in double precision, where such a bit is too small to change a grey level. The bytes are
the same for every x86 instruction set that numpy dispatches to, as `tests/data/test_processors.py`
checks for those of the machine it runs on; they have not been compared on ARM.
"""
