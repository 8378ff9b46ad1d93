"""ONNX Runtime computes the same numbers, with graph optimisations off and on.

usage: compare_ort.py FILE --input x.npy --expect y.npy [--rtol 1e-4] [--output NAME] [--only off|default]
The largest difference is compared with rtol times the largest expected magnitude. --only: judge one level, print both. (On
Q/DQ files the default level runs fused integer kernels, which round other intermediate results than the nodes say.)
"""
import argparse
import sys

import numpy as np

import ort


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--input", required=True)
    parser.add_argument("--expect", required=True)
    parser.add_argument("--rtol", type=float, default=1e-4)
    parser.add_argument("--output")
    parser.add_argument("--only", choices=["off", "default"])
    args = parser.parse_args()
    x, want = np.load(args.input), np.load(args.expect)
    ok = True
    for optimize in (False, True):
        got = ort.run(args.file, x, optimize, args.output)
        if got.shape != want.shape:
            sys.exit(f"{args.file}: shape {got.shape}, expected {want.shape}")
        relative = float(np.abs(got.astype(np.float64) - want).max() / max(np.abs(want).max(), 1e-30))
        label = "default" if optimize else "off"
        ok = ok and (relative <= args.rtol or args.only not in (None, label))
        print(f"{args.file}: optimisations {label}: largest difference {relative:.2e} of the largest value (bar {args.rtol:g})")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
