"""Writes frames.json, what camera frames must decode to: the formulas of the standards in floating point, pixel by pixel, and Pillow for JPEG.

Needs numpy and Pillow; `python frames.py > frames.json`. Written without a look at the decoder.
"""

import base64
import io
import json

import numpy as np
from PIL import Image

rng = np.random.default_rng(4)
W, H = 7, 5
cases = []


def text(array):
    return base64.b64encode(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).decode()


def add(fourcc, planes, rgb, matrix="bt601", range_="full", strides=(0, 0), size=(W, H), tolerance=0):
    rgb = np.clip(np.floor(np.asarray(rgb, dtype=np.float64) + 0.5), 0, 255)
    cases.append(dict(fourcc=fourcc, width=size[0], height=size[1], matrix=matrix, range=range_, stride=strides[0],
                      chroma_stride=strides[1], planes=[text(p) for p in planes], rgb=text(rgb), tolerance=tolerance))


def to_rgb(y, cb, cr, matrix, range_):
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    if range_ == "limited":
        y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    else:
        y, cb, cr = y / 255, (cb - 128) / 255, (cr - 128) / 255
    r = y + 2 * (1 - kr) * cr
    b = y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return 255 * np.stack([r, g, b], -1)


def yuv(kind, matrix, range_):
    luma = rng.integers(0, 256, (H, 8)).astype(float)
    rgb = np.zeros((H, W, 3))
    if kind in ("YUYV", "UYVY"):
        cb, cr = rng.integers(0, 256, (2, H, 4)).astype(float)
        stride = 19
        frame = rng.integers(0, 256, (H, stride))
        for y in range(H):
            for pair in range(4):
                quad = [luma[y, 2 * pair], cb[y, pair], luma[y, 2 * pair + 1], cr[y, pair]]
                if kind == "UYVY":
                    quad = [quad[1], quad[0], quad[3], quad[2]]
                frame[y, 4 * pair:4 * pair + 4] = quad
            for x in range(W):
                rgb[y, x] = to_rgb(luma[y, x], cb[y, x // 2], cr[y, x // 2], matrix, range_)
        add(kind, [frame], rgb, matrix, range_, (stride, 0))
        return
    cb, cr = rng.integers(0, 256, (2, 3, 4)).astype(float)
    stride, chroma_stride = (10, 10) if kind == "NV12" else (9, 11)
    top = rng.integers(0, 256, (H, stride))
    bottom = rng.integers(0, 256, (3, chroma_stride))
    top[:, :W] = luma[:, :W]
    bottom[:, 0:8:2], bottom[:, 1:8:2] = cb, cr
    for y in range(H):
        for x in range(W):
            rgb[y, x] = to_rgb(luma[y, x], cb[y // 2, x // 2], cr[y // 2, x // 2], matrix, range_)
    planes = [np.concatenate([top, bottom])] if kind == "NV12" else [top, bottom]
    add(kind, planes, rgb, matrix, range_, (stride, chroma_stride))


def bayer(fourcc, pattern):
    """Convolution of each colour's samples, the picture mirrored: sum of weights over sum of the weights that met a sample."""
    raw = rng.integers(0, 256, (H, W)).astype(float)
    where = np.array([[pattern[(y % 2) * 2 + x % 2] for x in range(W)] for y in range(H)])
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    rgb = np.zeros((H, W, 3))
    padded = np.pad(raw, 1, mode="reflect")
    colours = np.pad(where, 1, mode="reflect")
    for y in range(H):
        for x in range(W):
            for channel, name in enumerate("RGB"):
                if where[y, x] == name:
                    rgb[y, x, channel] = raw[y, x]
                    continue
                here = colours[y:y + 3, x:x + 3] == name
                # Green at red and blue: the four nearest, which is what the corners' zero weight says.
                weights = kernel * here
                rgb[y, x, channel] = (padded[y:y + 3, x:x + 3] * weights).sum() / weights.sum()
    frame = rng.integers(0, 256, (H, 12))
    frame[:, :W] = raw
    add(fourcc, [frame], rgb, strides=(12, 0))


def words(fourcc, bits):
    values = rng.integers(0, 2**bits, (H, W))
    values[0, :2] = 0, 2**bits - 1
    noise = rng.integers(0, 2**(16 - bits), (H, W)) << bits
    frame = np.full((H, 8), 0xABCD, dtype="<u2")
    frame[:, :W] = values + noise
    grey = values * 255 / (2**bits - 1)
    add(fourcc, [frame.view(np.uint8)], np.stack([grey] * 3, -1), strides=(16, 0))


def jpeg(mode, subsampling, tolerance):
    small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize((36, 28), Image.Resampling.BICUBIC).convert(mode)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=92, **({} if mode == "L" else {"subsampling": subsampling}))
    stream.seek(0)
    rgb = np.array(Image.open(stream).convert("RGB"), dtype=float)
    add("MJPG", [np.frombuffer(stream.getvalue(), np.uint8)], rgb, size=(36, 28), tolerance=tolerance)


for matrix in ("bt601", "bt709"):
    for range_ in ("full", "limited"):
        for kind in ("YUYV", "UYVY", "NV12", "NM12"):
            yuv(kind, matrix, range_)
for code, pattern in (("RGGB", "RGGB"), ("GRBG", "GRBG"), ("GBRG", "GBRG"), ("BA81", "BGGR")):
    bayer(code, pattern)
for code, bits in (("Y10 ", 10), ("Y12 ", 12), ("Y16 ", 16)):
    words(code, bits)
grey = rng.integers(0, 256, (H, W))
add("GREY", [np.pad(grey, ((0, 0), (0, 2)))], np.stack([grey] * 3, -1), strides=(W + 2, 0))
rgb = rng.integers(0, 256, (H, W, 3))
add("RGB3", [np.pad(rgb.reshape(H, -1), ((0, 0), (0, 3)))], rgb, strides=(W * 3 + 3, 0))
add("BGR3", [rgb[..., ::-1].reshape(H, -1)], rgb, strides=(W * 3, 0))
# Decoders may differ in the last bits of their transforms, and in how they enlarge chroma.
jpeg("L", 0, 2)
jpeg("RGB", 0, 3)
jpeg("RGB", 1, 6)
jpeg("RGB", 2, 6)
print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")
