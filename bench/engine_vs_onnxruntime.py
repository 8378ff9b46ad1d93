#!/usr/bin/env python3
"""Latency of one network, batch 1, one thread: octet's INT8 engine beside ONNX Runtime's FP32 and its INT8 forms.

    engine_vs_onnxruntime.py --onnx resnet18.onnx --plan resnet_18.plan --octet-run build/release/bin/octet-run

The runs take turns (--rounds), so that whatever else the machine does hits all of them; the table gives the median over all
runs, the best run, and the median CPU time (which other load on the machine disturbs least). INT8 forms are made here with onnxruntime.quantization from random calibration data: time does not
depend on the values.
"""
import argparse
import os
import re
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class RandomImages(CalibrationDataReader):
    def __init__(self, name, shape):
        rng = np.random.default_rng(1)
        self.batches = iter([{name: rng.standard_normal(shape).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def time_session(s, runs):
    node = s.get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in node.shape]
    feed = {node.name: np.random.default_rng(2).standard_normal(shape).astype(np.float32)}
    for _ in range(2):
        s.run(None, feed)
    times = []
    for _ in range(runs):
        start, cpu = time.perf_counter(), time.process_time()
        s.run(None, feed)
        times.append(((time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3))
    return times


def time_octet(program, plan, threads, runs):
    text = subprocess.run([program, plan, "--bench", str(runs), "--threads", str(threads)], check=True,
                          capture_output=True, text=True).stdout
    m = re.search(r"median ([\d.]+) ms, best ([\d.]+) ms.*CPU time median ([\d.]+) ms", text)
    return float(m.group(1)), float(m.group(2)), float(m.group(3))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--plan", required=True)
    parser.add_argument("--octet-run", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        clean = os.path.join(folder, "clean.onnx")
        quant_pre_process(args.onnx, clean, skip_symbolic_shape=True)
        fp32 = session(args.onnx, args.threads)
        node = fp32.get_inputs()[0]
        shape = [d if isinstance(d, int) else 1 for d in node.shape]
        sessions = {"ONNX Runtime FP32": fp32}
        for name, form, activation in [("Q/DQ s8", QuantFormat.QDQ, QuantType.QInt8),
                                       ("Q/DQ u8", QuantFormat.QDQ, QuantType.QUInt8),
                                       ("QOperator u8", QuantFormat.QOperator, QuantType.QUInt8)]:
            path = os.path.join(folder, "int8.onnx")
            quantize_static(clean, path, RandomImages(node.name, shape), quant_format=form, per_channel=True,
                            activation_type=activation, weight_type=QuantType.QInt8)
            sessions["ONNX Runtime INT8 " + name] = session(path, args.threads)
        times = {name: [] for name in sessions}
        octet = []
        for _ in range(args.rounds):
            for name, s in sessions.items():
                times[name] += time_session(s, args.runs)
            octet.append(time_octet(args.octet_run, args.plan, args.threads, args.runs))
    print(f"ONNX Runtime {ort.__version__}, {args.threads} thread(s), batch 1, {args.rounds} x {args.runs} runs")
    print(f"{'':34} {'median ms':>10} {'best ms':>10} {'CPU ms':>10}")
    for name, t in times.items():
        wall, cpu = np.array(t).T
        print(f"{name:34} {np.median(wall):10.2f} {wall.min():10.2f} {np.median(cpu):10.2f}")
    median, best, cpu = np.array(octet).T
    print(f"{'octet INT8 engine':34} {np.median(median):10.2f} {best.min():10.2f} {np.median(cpu):10.2f}")


if __name__ == "__main__":
    main()
