"""Exports anomalib's PatchCore by itself: python export.py BACKBONE WEIGHTS BANK OUT IMAGE...

OUT gets `model.pt`, `model.onnx` and `model.xml`, each an image in, score and map out. The images become what everybody runs on:
`frames.npy` and, for us, `frames/*.png`, both at the network's size; their patch descriptors, for the search alone, are
`queries.safetensors`.
"""

from model import describe, patchcore, read

import shutil
import sys
from pathlib import Path

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file

backbone, weights, bank, out, *images = sys.argv[1:]
out = Path(out)
# What the exporters print is no result.
sys.stdout = sys.stderr
model = patchcore(backbone, weights, bank)
frames = torch.cat([read(image, 256) for image in images])
numpy.save(out / "frames.npy", frames.numpy())
(out / "frames").mkdir()
for i, frame in enumerate(frames):
    Image.fromarray((frame * 255).round().byte().permute(1, 2, 0).numpy()).save(out / f"frames/{i:03}.png")
save_file({"queries": describe(model, frames).contiguous()}, out / "queries.safetensors")
# One image at a time, as on a camera. With a free batch axis the exporter fixes it at its example's two.
single = {"dynamic_axes": None}
for written in [
    model.to_torch(out),
    model.to_onnx(out, input_size=(256, 256), **single),
    model.to_openvino(out, input_size=(256, 256), onnx_kwargs=single),
]:
    for part in written.parent.glob(f"{written.stem}.*"):
        shutil.move(part, out / part.name)
