#!/usr/bin/env python3
"""Writes metrics.json: seeded scores with the figures that scikit-learn gives for them, and AUPRO by its definition.

    pip install numpy scipy scikit-learn && python3 metrics.py > metrics.json
"""

import json
import sys

import numpy as np
from scipy.ndimage import label
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

rng = np.random.default_rng(20240815)


def rounded(values, digits):
    """Short text that reads back as the same float32."""
    return np.round(values, digits).astype(np.float32)


def ranking(scores, truth):
    scores = scores.astype(np.float64)
    precision, recall, _ = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return {"auroc": float(roc_auc_score(truth, scores)), "f1": float(f1.max())}


def aupro(maps, masks, limit):
    """Per-region overlap at every distinct score, nothing clever."""
    regions = []
    for m, mask in zip(maps, masks):
        labels, count = label(mask, structure=np.ones((3, 3), int))
        regions += [m[labels == k + 1] for k in range(count)]
    good = np.concatenate([m[~mask] for m, mask in zip(maps, masks)])
    thresholds = np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]
    fpr = np.array([0.0] + [(good >= t).mean() for t in thresholds])
    pro = np.array([0.0] + [np.mean([(r >= t).mean() for r in regions]) for t in thresholds])
    # np.interp takes the last of several points with one x, which is the top of a vertical step.
    at_limit = np.interp(limit, fpr, pro)
    inside = fpr <= limit
    x, y = np.append(fpr[inside], limit), np.append(pro[inside], at_limit)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit), len(regions)


def image_case(name, good, anomalous, shift, digits):
    truth = np.array([False] * good + [True] * anomalous)
    rng.shuffle(truth)
    scores = rounded(rng.normal(size=truth.size) + shift * truth, digits)
    fpr, tpr, thresholds = roc_curve(truth, scores.astype(np.float64))
    # A threshold between two scores, so that ">" and ">=" agree.
    distinct = np.unique(scores)
    threshold = np.float32((distinct[len(distinct) // 2] + distinct[len(distinct) // 2 - 1]) / 2)
    rejected = scores >= threshold
    return {
        "name": name, "scores": [float(str(s)) for s in scores], "anomalous": truth.astype(int).tolist(),
        **ranking(scores, truth),
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist()},
        "threshold": float(threshold),
        "false_reject_rate": float(rejected[~truth].mean()), "miss_rate": float((~rejected[truth]).mean()),
    }


def pixel_case(name, count, width, height, shift, digits):
    maps, masks = [], []
    for i in range(count):
        mask = np.zeros((height, width), bool)
        for _ in range(i % 4):  # the first image is good
            cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.6, 5)
            y, x = np.mgrid[:height, :width]
            mask |= (x - cx) ** 2 + (y - cy) ** 2 <= r * r
        if i == 1:  # a diagonal hangs together in 8-connectivity only
            mask[[2, 3, 4, 5], [2, 3, 4, 5]] = True
        maps.append(rounded(rng.normal(size=mask.shape) + shift * mask, digits))
        masks.append(mask)
    scores = np.concatenate([m.ravel() for m in maps])
    truth = np.concatenate([m.ravel() for m in masks])
    areas = {str(limit): aupro(maps, masks, limit)[0] for limit in (0.05, 0.3, 1.0)}
    return {
        "name": name, "width": width, "height": height,
        "maps": [[float(str(s)) for s in m.ravel()] for m in maps],
        "masks": ["".join("#" if p else "." for p in m.ravel()) for m in masks],
        **ranking(scores, truth), "regions": aupro(maps, masks, 0.3)[1], "aupro": areas,
    }


json.dump({
    "images": [
        image_case("continuous", 40, 25, 1.2, 4),
        image_case("many ties", 70, 30, 0.8, 0),
        image_case("perfect", 12, 9, 30.0, 3),
        image_case("inverted", 15, 15, -2.0, 2),
        image_case("one anomalous", 30, 1, 1.0, 3),
    ],
    "pixels": [
        pixel_case("continuous", 6, 20, 14, 1.5, 4),
        pixel_case("many ties", 8, 17, 16, 1.0, 0),
        pixel_case("strong", 4, 16, 16, 4.0, 2),
    ],
}, sys.stdout, separators=(",", ":"))
print()
