"""anomalib's PatchCore around given weights and memory bank."""

import light_torch  # noqa: F401

import logging

import numpy
import torch
from anomalib.models import Patchcore
from PIL import Image
from safetensors.torch import load_file

logging.getLogger("anomalib").setLevel(logging.ERROR)


def patchcore(backbone, weights, bank):
    """The model with the backbone's weights (torchvision's names) and the vectors of a run's `bank.safetensors`."""
    model = Patchcore(backbone=backbone, layers=["layer2", "layer3"], pre_trained=False).eval()
    extractor = model.model.feature_extractor.feature_extractor
    wanted = {name for name in extractor.state_dict() if not name.endswith("num_batches_tracked")}
    given = {name: value.float() for name, value in load_file(weights).items() if name in wanted}
    if missing := wanted - given.keys():
        raise SystemExit(f"{weights}: parameters of {backbone} are missing, such as {min(missing)}")
    extractor.load_state_dict(given, strict=False)
    model.model.memory_bank = load_file(bank)["vectors"].float()
    return model


def describe(model, images):
    """Patch descriptors `[patches, dims]` of images `[n, 3, height, width]` in 0..1."""
    inner = model.model
    features = inner.feature_extractor(model.pre_processor.transform(images))
    pooled = {layer: inner.feature_pooler(feature) for layer, feature in features.items()}
    return inner.reshape_embedding(inner.generate_embedding(pooled))


def read(path, size=None):
    """An image as `[1, 3, height, width]` in 0..1, resized to a square where a size is given."""
    image = Image.open(path).convert("RGB")
    if size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None].float() / 255
