"""Writes random weights of a torchvision network: python random_weights.py BACKBONE OUT.safetensors"""

import light_torch  # noqa: F401

import sys

import torch
import torchvision
from safetensors.torch import save_file

backbone, out = sys.argv[1:]
torch.manual_seed(0)
# Nothing after layer3 is used; a residual branch at half strength keeps activations in range over many blocks.
state = torchvision.models.get_model(backbone, weights=None).state_dict()
kept = {n: v for n, v in state.items() if not n.startswith(("layer4.", "fc.")) and not n.endswith("num_batches_tracked")}
last = ".bn3.weight" if "layer1.0.bn3.weight" in kept else ".bn2.weight"
for name, value in kept.items():
    if name.endswith(last):
        value.mul_(0.5)
save_file({name: value.contiguous() for name, value in kept.items()}, out)
