"""Parametric faces: the default dataset, rendered here without downloads or photographs of anyone.

A subject has random identity traits; an image of it has a random pose, expression, light, camera
and surroundings. The draws depend only on the seed and the numbers of subject and image, so a
smaller set is part of a larger one.

numpy's functions differ in the last bit between vector instruction sets. Everything is therefore
computed in double precision, where such a bit is too small to change a grey level. The bytes are
the same for every x86 instruction set that numpy dispatches to, as `tests/data/test_processors.py`
checks for those of the machine it runs on; they have not been compared on ARM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def render_subjects(
    subjects: int,
    images_per_subject: int,
    image_size: int,
    seed: int,
    first_subject: int = 0,
    difficulty: float = 1.0,
) -> NDArray[np.uint8]:
    """(subjects·images_per_subject, image_size, image_size, 3) uint8 RGB, subject by subject.

    Subjects are numbered from `first_subject`. `difficulty` scales how far pose, light, expression
    and camera differ from neutral.
    """
    import numpy as np

    from src.data.streams import Purpose, stream
    from src.data.synthetic.render import render
    from src.data.synthetic.traits import Identity, View, draw

    shape = (subjects * images_per_subject, image_size, image_size, 3)
    images = np.empty(shape, np.uint8)
    for row in range(len(images)):
        subject, image = divmod(row, images_per_subject)
        subject += first_subject
        who = draw(Identity, stream(Purpose.subject, seed, subject))
        view = draw(View, stream(Purpose.image, seed, subject, image), difficulty)
        images[row] = render(who, view, image_size)
    return images
