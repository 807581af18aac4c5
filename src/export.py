"""`python -m src.export`: a model as one ONNX file or torch program, for use without this project.

Both hold everything from the pixels to the answer: centre crop, normalisation, network, temperature
and softmax, and the score that an image must have to be somebody known.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from src.cli import parser, run, version
from src.errors import WeightsError
from src.files import all_or_none, atomic, check_output
from src.models.head import NeighbourHead
from src.models.network import views
from src.models.threshold import known_scores
from src.prediction.loading import load_model

if TYPE_CHECKING:
    from src.models.classifier import Classifier
    from src.models.threshold import Threshold

OPSET = 20
INPUT, OUTPUTS = "images", ("probabilities", "score")
LICENCE = "not stated; see the terms of the source weights and of the images it was trained with"
EXAMPLES = """\
  python -m src.export --onnx model.onnx
  python -m src.export --model models/ModelC.safetensors --onnx model.onnx --torch model.pt2"""


class Exported(nn.Module):
    """(N, 3, S, S) uint8 RGB to (N, C) calibrated probabilities and (N,) scores, both float32.

    Without a threshold, the score is the largest probability.
    """

    means: Tensor

    def __init__(self, classifier: Classifier, threshold: Threshold | None) -> None:
        super().__init__()
        # A copy: the program's tensors are contiguous, the classifier's need not be.
        self.network = copy.deepcopy(classifier.network).to(memory_format=torch.contiguous_format)
        self.spec = classifier.spec
        self.kind = threshold.score if threshold else None
        means = threshold.means if threshold else None
        self.register_buffer("means", torch.zeros(1, 1) if means is None else means)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The answers to a batch."""
        network, temperature = self.network, self.spec.temperature
        features = network.answer(views(images, self.spec))
        logits = network.head(features)
        probabilities = (logits / temperature).softmax(1)
        if self.kind is None:
            return probabilities, probabilities.amax(1)
        scores = known_scores(logits, features, temperature, self.means)
        return probabilities, scores[self.kind].float()


def main(argv: Sequence[str] | None = None) -> None:
    """Write a model as an ONNX file or a torch program, which answer without this project.

    The network is the champion unless --model names a file. Metadata name the subjects, the
    threshold below which a face is unknown, and what the score is. docs/serving.md shows their use.
    """
    arguments = _arguments(argv)
    classifier, threshold = load_model(arguments.model).announced()
    if isinstance(classifier.network.head, NeighbourHead):
        what = "nearest neighbours are not exported"
        raise WeightsError(str(arguments.model or "the champion"), what, "choose another head")
    program = _program(classifier, threshold)
    about = metadata(classifier, threshold, arguments.licence)
    asked = ((arguments.onnx, write_onnx), (arguments.torch, write_torch))
    files = [(path, write) for path, write in asked if path is not None]
    with all_or_none():
        for path, write in files:
            write(path, program, about)
    for path, _ in files:
        print(f"wrote {path}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    arguments = parser("src.export", str(main.__doc__), EXAMPLES)
    arguments.add_argument("--model", type=Path, help="file, or models:/NAME/VERSION (champion)")
    arguments.add_argument("--onnx", type=Path, metavar="FILE", help="write an ONNX file")
    arguments.add_argument("--torch", type=Path, metavar="FILE", help="write a torch program")
    arguments.add_argument("--licence", default=LICENCE, help="terms of use, for the metadata")
    parsed = arguments.parse_args(argv)
    if parsed.onnx is None and parsed.torch is None:
        arguments.error("give --onnx, --torch or both")
    files = [path for path in (parsed.onnx, parsed.torch) if path]
    for path in files:
        check_output(path)
    if len(files) == 2 and files[0].resolve() == files[1].resolve():
        arguments.error("--onnx and --torch name the same file")
    return parsed


def metadata(
    classifier: Classifier, threshold: Threshold | None, licence: str = LICENCE
) -> dict[str, str]:
    """What a file says of itself, each value as JSON.

    subjects: names in the order of the probabilities. threshold: the score at or below which an
    image is unknown; null if there is none. score: what the score is. floor: the probability from
    which a subject is a candidate. fit: how images become square before they are reduced to S × S.
    """
    known = threshold if threshold and threshold.score else None
    about = {
        "subjects": classifier.subjects,
        "image_size": classifier.image_size,
        "fit": classifier.spec.fit,
        "score": known.score if known else None,
        "threshold": known.value if known else None,
        "floor": known.floor if known else None,
        "licence": licence,
        "producer": f"face-finetune {version()}",
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}


def _program(classifier: Classifier, threshold: Threshold | None) -> torch.export.ExportedProgram:
    size = classifier.image_size
    module = Exported(classifier, threshold if threshold and threshold.score else None).eval()
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    batch = torch.export.Dim("N", min=1)
    with torch.no_grad():
        return torch.export.export(module, (example,), dynamic_shapes=({0: batch},))


def write_torch(path: Path, program: torch.export.ExportedProgram, about: dict[str, str]) -> None:
    """Write a program that `torch.export.load` reads, with the metadata beside it in the file."""
    with atomic(path) as temporary:
        content = io.BytesIO()
        torch.export.save(program, content, extra_files=dict(about))
        temporary.write_bytes(content.getvalue())


def write_onnx(path: Path, program: torch.export.ExportedProgram, about: dict[str, str]) -> None:
    """Write an ONNX file of one piece."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[*OUTPUTS],
            external_data=False,
            verbose=False,
        )
    assert made is not None  # noqa: S101 - it is None only where dynamo is not used
    made.model.metadata_props.update(about)
    with atomic(path) as temporary:
        made.save(str(temporary), external_data=False)


if __name__ == "__main__":
    run(main)
