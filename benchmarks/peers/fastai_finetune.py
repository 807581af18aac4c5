"""fastai: `vision_learner` with `fine_tune`, or with discriminative learning rates.

The defaults of its documentation: batches of 64, `aug_transforms`, a head of two layers, Adam in
one cycle. `discriminative` is the book's recipe: a fifth of the epochs frozen at 3e-3, then
`unfreeze` and `lr_max=slice(1e-6, 1e-4)`. Its bfloat16 is for CUDA alone, so it trains in float32.
"""

from __future__ import annotations

from typing import Any

from fastai.vision.all import (
    Callback,
    ImageDataLoaders,
    Resize,
    accuracy,
    aug_transforms,
    get_image_files,
    model_meta,
    resnet18,
    set_seed,
    vision_learner,
)

from benchmarks.peers.measure import NATIVE, Measurement, arguments, load_backbone


class Clock(Callback):
    """Tells the measurement of each epoch, after fastai's Recorder."""

    order = 60

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement

    def after_epoch(self) -> None:
        """Training and validation of an epoch are over."""
        if not self.measurement.seconds:  # the test is none
            self.measurement.epoch(self.learn.recorder.values[-1][-1])


def main() -> None:
    """Fine-tune and write the result."""
    recipes = ("fine_tune", "discriminative")
    options = arguments(str(__doc__), batch_size=64, recipes=recipes).parse_args()
    options.precision = "float32"
    set_seed(options.seed)

    def network(**_: object) -> Any:
        made = resnet18(weights=None)
        load_backbone(made, options.weights)
        return made

    model_meta[network] = model_meta[resnet18]
    loaders = ImageDataLoaders.from_folder(
        options.images,
        train="train",
        valid="val",
        bs=options.batch_size,
        item_tfms=None if options.size == NATIVE else Resize(options.size),
        batch_tfms=aug_transforms(),
        num_workers=options.workers,
        seed=options.seed,
    )
    learner = vision_learner(loaders, network, metrics=accuracy)
    measurement = Measurement(options)
    learner.add_cb(Clock(measurement))
    with learner.no_bar(), learner.no_logging():
        measurement.start()
        if options.recipe == "fine_tune":
            learner.fine_tune(max(1, options.epochs - 1))  # after one epoch of the head alone
        else:
            frozen = max(1, round(options.epochs / 5))
            learner.fit_one_cycle(frozen, 3e-3)
            learner.unfreeze()
            learner.fit_one_cycle(max(1, options.epochs - frozen), lr_max=slice(1e-6, 1e-4))
        measurement.stop()
        files = get_image_files(options.images / "test")
        test = learner.validate(dl=loaders.test_dl(files, with_labels=True))[-1]
    measurement.write(test, len(measurement.history), ("fastai", "torch", "torchvision"))


if __name__ == "__main__":
    main()
