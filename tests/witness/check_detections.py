"""ONNX Runtime finds the same boxes: runs an exported detector and compares with octet's detections.

usage: check_detections.py FILE --input x.npy --expect d.npy [--bar 1.0] [--score 0.001] [--pixels 0.5] [--only off|default]
d.npy: f32 [K,7] image, label, score, x1, y1, x2, y2 in pixels of the network's input, octet's best 100 of each image.
FILE ends in NonMaxSuppression (outputs boxes, scores, selected). A box of one side is found on the other when label,
score and all corners agree; the share of found boxes, both ways, must be at least --bar.
"""
import argparse
import sys

import numpy as np

import ort


def detections(path, x, optimize):
    session = ort.session(path, optimize)
    name = session.get_inputs()[0].name
    boxes, scores, selected = session.run(["boxes", "scores", "selected"], {name: x})
    rows = []
    for image in range(len(x)):
        mine = [(scores[image, c, a], a, c) for n, c, a in selected if n == image]
        for score, a, c in sorted(mine, key=lambda r: (-r[0], r[1], r[2]))[:100]:
            y1, x1, y2, x2 = boxes[image, a]
            if x1 < x2 and y1 < y2:
                rows.append([image, c, score, x1, y1, x2, y2])
    return np.array(rows, np.float32).reshape(-1, 7)


def found(a, b):
    """Of rows a, how many have their like in b; each of b is used once."""
    free, count = np.ones(len(b), bool), 0
    for row in a:
        same = (free & (b[:, 0] == row[0]) & (b[:, 1] == row[1]) & (abs(b[:, 2] - row[2]) <= args.score)
                & (abs(b[:, 3:] - row[3:]).max(axis=1) <= args.pixels))
        if same.any():
            free[np.argmax(same)] = False
            count += 1
    return count


parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--input", required=True)
parser.add_argument("--expect", required=True)
parser.add_argument("--bar", type=float, default=1.0)
parser.add_argument("--score", type=float, default=0.001)
parser.add_argument("--pixels", type=float, default=0.5)
parser.add_argument("--only", choices=["off", "default"])
args = parser.parse_args()
inputs, want = np.load(args.input), np.load(args.expect)
ok = len(want) > 0
for level in (False, True):
    label = "default" if level else "off"
    got = detections(args.file, inputs, level)
    shares = found(want, got) / max(1, len(want)), found(got, want) / max(1, len(got))
    print(f"{args.file}: optimisations {label}: {len(want)} boxes of octet, {len(got)} of ONNX Runtime, "
          f"found {shares[0]:.4f} and {shares[1]:.4f}")
    ok = ok and (min(shares) >= args.bar or args.only not in (None, label))
sys.exit(0 if ok else 1)
