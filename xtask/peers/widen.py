"""Widens a ResNet-50 to a WideResNet-50-2 with the same answers: python widen.py RESNET50.safetensors OUT.safetensors

Each channel inside a bottleneck becomes two equal ones, and whatever reads them weighs each by a half (Chen, Goodfellow, Shlens: Net2Net,
ICLR 2016). So the wide network computes what the narrow one has learned, at its own cost.
"""

import light_torch  # noqa: F401

import sys

import torch
import torchvision
from safetensors.torch import load_file, save_file

LAYERS = ("layer1", "layer2", "layer3")


def widened(name, value):
    """A tensor of the narrow network as the wide one has it."""
    if not name.startswith(LAYERS) or "downsample" in name or "bn3" in name:
        return value
    if "conv" in name and "conv1" not in name:
        value = torch.cat([value, value], dim=1) / 2
    if "conv3" not in name:
        value = torch.cat([value, value], dim=0)
    return value


def features(backbone, state, batch):
    """What layer2 and layer3 give."""
    model = torchvision.models.get_model(backbone, weights=None).eval()
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert all(name.startswith(("layer4.", "fc.")) or name.endswith("num_batches_tracked") for name in missing), missing
    with torch.no_grad():
        batch = model.maxpool(model.relu(model.bn1(model.conv1(batch))))
        layer2 = model.layer2(model.layer1(batch))
        return layer2, model.layer3(layer2)


narrow = load_file(sys.argv[1])
wide = {name: widened(name, value).contiguous() for name, value in narrow.items() if not name.startswith(("layer4.", "fc."))}
batch = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
pairs = zip(features("resnet50", narrow, batch), features("wide_resnet50_2", wide, batch))
for one, other in pairs:
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * one.abs().max()), "the wide network answers differently"
save_file(wide, sys.argv[2])
