"""Top-1 predictions of ONNX Runtime, to be compared with those of octet's INT8 engine.

usage: ort_top1.py FILE inputs.npy [--expect predictions.npy] [--bar 0.995] [--write predictions.npy] [--output NAME]
Prints agreement with optimisations off and on; the bar holds for the better of the two. (ONNX Runtime's fused kernels
may keep other intermediate precision than the Q/DQ nodes say.)
"""
import argparse
import sys

import numpy as np

import ort


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("inputs")
    parser.add_argument("--expect")
    parser.add_argument("--bar", type=float, default=0.995)
    parser.add_argument("--write")
    parser.add_argument("--output")
    args = parser.parse_args()
    x = np.load(args.inputs)
    expected = np.load(args.expect) if args.expect else None
    best = 0.0
    for optimize in (False, True):
        scores = ort.run(args.file, x, optimize, args.output)
        top1 = scores.reshape(len(x), -1).argmax(axis=1).astype(np.int64)
        if args.write and not optimize:
            np.save(args.write, top1)
        label = "default" if optimize else "off"
        if expected is None:
            print(f"optimisations {label}:", " ".join(map(str, top1)))
            continue
        if len(expected) != len(top1):
            sys.exit(f"{args.expect}: {len(expected)} predictions for {len(top1)} inputs")
        same = int((top1 == expected).sum())
        best = max(best, same / len(top1))
        print(f"{args.file}: optimisations {label}: {same} of {len(top1)} equal ({same / len(top1):.4%}, bar {args.bar:.2%})")
    sys.exit(0 if expected is None or best >= args.bar else 1)


if __name__ == "__main__":
    main()
