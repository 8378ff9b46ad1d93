"""ONNX Runtime computes the same from both dialects of one Q/DQ network: TensorRT's and its own (unsigned activations, weights
stored as codes).

usage: compare_dialects.py QDQ.onnx QDQ_ORT.onnx --input x.npy
Without graph optimisations every output must be equal, bit for bit. With them the largest difference and the time are printed.
"""
import argparse
import sys
import time

import numpy as np

import ort


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trt")
    parser.add_argument("ort")
    parser.add_argument("--input", required=True)
    args = parser.parse_args()
    x = np.load(args.input)
    a, b = ort.run(args.trt, x, False), ort.run(args.ort, x, False)
    equal = np.array_equal(a, b)
    results = []
    for path in (args.trt, args.ort):
        start = time.time()
        results.append((ort.run(path, x, True), time.time() - start))
    gap = float(np.abs(results[0][0] - results[1][0]).max())
    print(f"{args.ort}: optimisations off: {'equal' if equal else 'DIFFERENT'}; default: largest difference {gap:.2g}, "
          f"{results[0][1]:.3f} s and {results[1][1]:.3f} s with loading")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
