"""One contender, kept warm: python serve.py torch|onnxruntime|openvino|faiss FOLDER [BANK]

Prints "ready"; then, for each line with a frame's number on standard input, runs that frame on two threads and prints milliseconds.
FOLDER is what `export.py` wrote. faiss searches the vectors of BANK, and leaves its answers in FOLDER/nearest.json first.
"""

import json
import sys
import time
from pathlib import Path

import numpy

THREADS = 2
PATCHES = 32 * 32

kind, folder, *bank = sys.argv[1:]
folder = Path(folder)


def torch():
    import light_torch  # noqa: F401

    import torch

    torch.set_num_threads(THREADS)
    model = torch.load(folder / "model.pt", weights_only=False)["model"].eval()
    frames = torch.from_numpy(numpy.load(folder / "frames.npy"))
    return len(frames), lambda i: model(frames[i : i + 1])


def onnxruntime():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    frames = numpy.load(folder / "frames.npy")
    name = session.get_inputs()[0].name
    return len(frames), lambda i: session.run(None, {name: frames[i : i + 1]})


def openvino():
    import openvino

    settings = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(folder / "model.xml", "CPU", settings)
    frames = numpy.load(folder / "frames.npy")
    return len(frames), lambda i: model(frames[i : i + 1])


def faiss():
    import faiss
    from safetensors.numpy import load_file

    faiss.omp_set_num_threads(THREADS)
    vectors = load_file(bank[0])["vectors"].astype(numpy.float32)
    queries = load_file(folder / "queries.safetensors")["queries"]
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    (folder / "nearest.json").write_text(json.dumps(index.search(queries, 1)[1][:, 0].tolist()))
    frames = queries.reshape(-1, PATCHES, queries.shape[1])
    return len(frames), lambda i: index.search(frames[i], 1)


# Whatever a library says while it loads must not look like an answer.
answers, sys.stdout = sys.stdout, sys.stderr
count, run = {"torch": torch, "onnxruntime": onnxruntime, "openvino": openvino, "faiss": faiss}[kind]()
for _ in range(2):
    run(0)
print("ready", file=answers, flush=True)
for line in sys.stdin:
    frame = int(line) % count
    start = time.perf_counter()
    run(frame)
    print((time.perf_counter() - start) * 1e3, file=answers, flush=True)
