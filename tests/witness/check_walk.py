"""ONNX's checker and ONNX Runtime on the files that one walk of a network wrote (tests/networks/walk.h).

usage: check_walk.py manifest.txt       lines "kind model.onnx output x.npy y.npy"; kind fp32 or qdq
fp32: the scores equal LibTorch's to 1e-4 of the largest. qdq: the file is what TensorRT wants of Q/DQ nodes, and the scores are
near LibTorch's in the root mean square: both round codes, float sums in another order move a few of them, and a network without
training carries such a step further than a trained one.
"""
import sys

import numpy as np
import onnx

import check_onnx
import ort

BARS = {"fp32": 1e-4, "qdq": 0.1}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    failed = 0
    with open(sys.argv[1]) as f:
        lines = [line.split() for line in f if line.strip()]
    assert lines, f"{sys.argv[1]} names no files"
    for kind, path, output, x, y in lines:
        onnx.checker.check_model(path, full_check=True)
        pairs = check_onnx.check_quantization(onnx.load(path))
        assert (pairs > 0) == (kind == "qdq"), f"{path}: {pairs} Q and DQ nodes in a file of kind {kind}"
        want = np.load(y).astype(np.float64)
        got = ort.run(path, np.load(x), False, output)
        assert got.shape == want.shape and np.isfinite(got).all(), f"{path}: shape {got.shape}, expected {want.shape}"
        if kind == "fp32":
            difference = float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))
        else:
            difference = float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30))
        good = difference <= BARS[kind]
        failed += not good
        print(f"{'ok' if good else 'FAIL'} {path}: difference {difference:.1e} (bar {BARS[kind]:g}), {pairs} Q and DQ nodes")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
