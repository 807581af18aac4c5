"""Parametric faces: the embedded default dataset, which needs no download and shows nobody.

A subject is a draw of identity traits, an image a draw of pose, expression, light, camera and
surroundings; both depend on nothing but the seed and the numbers of subject and image, so sets
of different sizes share their images.

numpy's functions differ in the last bit from one vector instruction set to another, so everything
is worked out in double precision, where such a bit is too small to move a grey level. The bytes
are the same at every level of x86 that numpy dispatches to, which `tests/data/test_processors.py`
checks on the levels of the machine that it runs on; they have not been compared on ARM.
"""

from __future__ import annotations

from collections.abc import Callable
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
    progress: Callable[[int], object] | None = None,
) -> NDArray[np.uint8]:
    """Faces of subjects `first_subject` onwards.

    (subjects·images_per_subject, image_size, image_size, 3) uint8 RGB, subject by subject.
    `difficulty` scales how far pose, light, expression and camera stray from neutral.
    `progress` is called with the number of images done, after each subject.
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
        if progress and image == images_per_subject - 1:
            progress(row + 1)
    return images


FIRST_SOURCE = 1_000_000  # number of the first source identity; no target has as many subjects


def render_source(
    subjects: int, images_per_subject: int, image_size: int, seed: int
) -> NDArray[np.uint8]:
    """The source task's faces: identities that no target set has, drawn from another seed.

    Shape as of `render_subjects`.
    """
    return render_subjects(subjects, images_per_subject, image_size, seed, FIRST_SOURCE)
