"""Whose face is on a photo, by an exported file: `python onnx_predict.py model.onnx photo.jpg`."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = {
    key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()
}
fits = {"crop": ImageOps.fit, "pad": ImageOps.pad, "stretch": Image.Image.resize}
photo = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
square = fits[about["fit"]](photo, (about["image_size"],) * 2, Image.Resampling.BICUBIC)
images = np.asarray(square).transpose(2, 0, 1)[None]  # (1, 3, S, S), uint8
probabilities, scores = session.run(None, {"images": images})
unknown = about["threshold"] is not None and scores[0] <= about["threshold"]
name = "unknown" if unknown else about["subjects"][probabilities[0].argmax()]
print(name, round(float(probabilities[0].max()), 6))
