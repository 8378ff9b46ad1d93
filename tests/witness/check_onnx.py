"""ONNX's own checker and strict shape inference accept the files. Also reports what TensorRT asks of Q/DQ nodes.

usage: check_onnx.py FILE...
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper


def check_quantization(model):
    """TensorRT's contract: constant positive float32 scales, int8 zero points that are zeros of the scale's shape, axis on
    vector scales, no Q/DQ that is a graph output."""
    constants = {t.name: t for t in model.graph.initializer}
    outputs = {o.name for o in model.graph.output}
    count = 0
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        count += 1
        where = f"{node.op_type} '{node.name}'"
        assert len(node.input) == 3, f"{where}: no zero point"
        scale = numpy_helper.to_array(constants[node.input[1]])
        zero = constants[node.input[2]]
        assert scale.dtype == np.float32 and scale.ndim <= 1, f"{where}: scale {scale.dtype}{scale.shape}"
        assert (scale > 0).all() and np.isfinite(scale).all(), f"{where}: scale {scale}"
        assert zero.data_type == TensorProto.INT8, f"{where}: zero point type {zero.data_type}"
        assert tuple(zero.dims) == scale.shape, f"{where}: zero point {tuple(zero.dims)} for scale {scale.shape}"
        assert not numpy_helper.to_array(zero).any(), f"{where}: zero point is not zero"
        axis = [a.i for a in node.attribute if a.name == "axis"]
        assert scale.ndim == 0 or len(axis) == 1, f"{where}: vector scale without axis"
        assert node.op_type == "QuantizeLinear" or node.output[0] not in outputs, f"{where} makes a graph output"
    return count


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        onnx.checker.check_model(path, full_check=True)
        model = onnx.load(path)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        names = [n for node in model.graph.node for n in node.output if n]
        names += [t.name for t in model.graph.initializer] + [i.name for i in model.graph.input]
        assert len(names) == len(set(names)), f"{path}: a name stands twice"
        assert not [n for n in names if ":" in n or n != n.strip() or not n.isascii()], f"{path}: bad names"
        declared = {v.name for v in list(model.graph.value_info) + list(model.graph.output)}
        undeclared = [n for node in model.graph.node for n in node.output if n and n not in declared]
        assert not undeclared, f"{path}: no value_info for {undeclared[:5]}"
        pairs = check_quantization(model)
        print(f"{path}: ok, opset {model.opset_import[0].version}, IR {model.ir_version}, {len(inferred.graph.node)} nodes, "
              f"{pairs} Q and DQ nodes")


if __name__ == "__main__":
    main()
