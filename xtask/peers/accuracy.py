"""The peer's image AUROC: python accuracy.py BACKBONE WEIGHTS BANK DATA [--own-coreset SHARE]

DATA has the MVTec layout; scores are the model's raw ones. With --own-coreset the bank is anomalib's own coreset of all training
images instead of BANK, which takes minutes.
"""

from model import describe, patchcore, read

import argparse
import json
import sys
from pathlib import Path

import torch
from sklearn.metrics import roc_auc_score

parser = argparse.ArgumentParser()
for name in ["backbone", "weights", "bank"]:
    parser.add_argument(name)
parser.add_argument("data", type=Path)
parser.add_argument("--own-coreset", type=float, metavar="SHARE")
args = parser.parse_args()

torch.set_num_threads(2)
answers, sys.stdout = sys.stdout, sys.stderr
model = patchcore(args.backbone, args.weights, args.bank)
if args.own_coreset:
    paths = sorted((args.data / "train/good").iterdir())
    model.model.embedding_store = [describe(model, read(path)) for path in paths]
    model.model.subsample_embedding(args.own_coreset)
anomalous, scores = [], []
for path in sorted((args.data / "test").glob("*/*")):
    anomalous.append(path.parent.name != "good")
    scores.append(model.model(model.pre_processor.transform(read(path))).pred_score.item())
answers.write(json.dumps({"images": len(scores), "image_auroc": roc_auc_score(anomalous, scores)}) + "\n")
