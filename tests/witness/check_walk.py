"""ONNX's checker and ONNX Runtime on the files that one walk of a network wrote (tests/networks/walk.h).

usage: check_walk.py manifest.txt       lines "kind model.onnx output x.npy y.npy codes"; kind fp32 or qdq; codes: a text file with
                                        lines "tensor codes.npy", or -
fp32: the scores equal LibTorch's to 1e-4 of the largest.
qdq: the file is what TensorRT wants of Q/DQ nodes. Every quantizer of ONNX Runtime yields LibTorch's codes, up to three near-ties in
100,000 that round the other way, by 1; and the scores equal to 1e-4. Each quantizer hands LibTorch's codes on, so that a
near-tie cannot grow on its way through a network that has hardly been trained.
"""
import sys

import numpy as np
import onnx
from onnx import helper

import check_onnx
import ort

SCORES_BAR = 1e-4
CODES_BAR = 3e-5


def cut_at_codes(model, codes):
    """The model with the output of each quantizer of an activation twice: as NAME__own, an output, and as NAME, an input from
    which everything behind it reads."""
    constants = {t.name for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants.add(node.output[0])
    cut = []
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in constants:
            continue
        name = node.output[0]
        assert name in codes, f"no codes of '{name}'"
        node.output[0] = name + "__own"
        model.graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT8, codes[name].shape))
        model.graph.output.append(helper.make_tensor_value_info(node.output[0], onnx.TensorProto.INT8, codes[name].shape))
        cut.append(name)
    del model.graph.value_info[:]
    return cut


def run_cut(path, x, output, index):
    """ONNX Runtime's scores; codes compared; codes that differ; the largest difference."""
    with open(index) as f:
        codes = {name: np.load(file) for name, file in (line.split() for line in f)}
    model = onnx.load(path)
    cut = cut_at_codes(model, codes)
    assert cut, f"{path}: no quantizer of an activation"
    session = ort.session(model.SerializeToString(), False)
    feeds = {name: codes[name] for name in cut}
    feeds[model.graph.input[0].name] = x
    scores, *own = session.run([output] + [name + "__own" for name in cut], feeds)
    gaps = [np.abs(codes[name].astype(np.int32) - o) for name, o in zip(cut, own)]
    return scores, sum(g.size for g in gaps), sum(int((g > 0).sum()) for g in gaps), max(int(g.max()) for g in gaps)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    failed = 0
    with open(sys.argv[1]) as f:
        lines = [line.split() for line in f if line.strip()]
    assert lines, f"{sys.argv[1]} names no files"
    for kind, path, output, x, y, index in lines:
        onnx.checker.check_model(path, full_check=True)
        pairs = check_onnx.check_quantization(onnx.load(path))
        assert (pairs > 0) == (kind == "qdq"), f"{path}: {pairs} Q and DQ nodes in a file of kind {kind}"
        want = np.load(y).astype(np.float64)
        compared = different = largest = 0
        if kind == "fp32":
            got = ort.run(path, np.load(x), False, output)
        else:
            got, compared, different, largest = run_cut(path, np.load(x), output, index)
        assert got.shape == want.shape and np.isfinite(got).all(), f"{path}: shape {got.shape}, expected {want.shape}"
        gap = float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))
        good = gap <= SCORES_BAR and largest <= 1 and different <= compared * CODES_BAR
        failed += not good
        codes = f", {different} of {compared} codes differ, by {largest} at most" if compared else ""
        print(f"{'ok' if good else 'FAIL'} {path}: scores differ by {gap:.1e} of the largest (bar {SCORES_BAR:g}), "
              f"{pairs} Q and DQ nodes{codes}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
