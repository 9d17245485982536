"""Writes random weights of a torchvision network: python random_weights.py BACKBONE OUT.safetensors IMAGE...

Batch statistics are those of the images, so that features differ from image to image as those of a network that learned do, and a
network in bytes can be told from a broken one.
"""

import light_torch  # noqa: F401

import sys

import numpy
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

backbone, out, *images = sys.argv[1:]
torch.manual_seed(0)
model = torchvision.models.get_model(backbone, weights=None).train()
for part in model.modules():
    if isinstance(part, torch.nn.BatchNorm2d):
        # The mean over all images, not a running one.
        part.momentum = None
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
pixels = [numpy.array(Image.open(image).convert("RGB").resize((256, 256))) for image in images]
batch = (torch.from_numpy(numpy.stack(pixels)) / 255 - mean) / std
model(batch.permute(0, 3, 1, 2))
# Nothing after layer3 is used.
kept = {
    name: value.contiguous()
    for name, value in model.state_dict().items()
    if not name.startswith(("layer4.", "fc.")) and not name.endswith("num_batches_tracked")
}
save_file(kept, out)
