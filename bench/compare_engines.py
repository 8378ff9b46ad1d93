#!/usr/bin/env python3
"""octet's INT8 engine beside ONNX Runtime (FP32 and its INT8 forms) and OpenVINO (INT8), network by network.

    build/release/bin/make_networks FOLDER fused resnet_18 mobilenet_v2 ...     # NAME.fp32.onnx, NAME.qdq.onnx, NAME.plan
    bench/compare_engines.py FOLDER resnet_18 mobilenet_v2 --threads 1 2 --batch 1 8

Every measurement is a process of its own, pinned to as many cores as it has threads. The engines take turns (--rounds), so whatever else
the machine does hits all of them; a cell is the median over rounds of the round's median. ONNX Runtime's INT8 is the best of: octet's
Q/DQ file, onnxruntime.quantization's Q/DQ with s8 and with u8 activations, and its QOperator form. OpenVINO runs octet's Q/DQ file. Needs
onnxruntime, onnx and openvino from PyPI.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time


def pin(threads):
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def feed_of(shape, batch):
    import numpy as np
    return np.random.default_rng(2).standard_normal([batch, *shape[1:]]).astype(np.float32)


def timed(run, runs):
    for _ in range(3):
        run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def rss_mb():
    with open("/proc/self/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024


def worker(kind, path, threads, batch, runs):
    """Prints: median ms, load ms, resident MB that the network added."""
    pin(threads)
    if kind == "onnxruntime":
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        before, start = rss_mb(), time.perf_counter()
        s = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        load = time.perf_counter() - start
        node = s.get_inputs()[0]
        feed = {node.name: feed_of(node.shape, batch)}
        ms = timed(lambda: s.run(None, feed), runs)
    else:
        import openvino as ov
        core = ov.Core()
        before, start = rss_mb(), time.perf_counter()
        model = core.read_model(path)
        shape = list(model.inputs[0].partial_shape)
        model.reshape([batch] + [d.get_length() for d in shape[1:]])
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
        load = time.perf_counter() - start
        request = compiled.create_infer_request()
        feed = feed_of([d.get_length() if d.is_static else 1 for d in shape], batch)
        ms = timed(lambda: request.infer({0: feed}), runs)
    print(f"RESULT {ms:.4f} {load * 1e3:.1f} {rss_mb() - before:.1f}")


def run_worker(kind, path, threads, batch, runs):
    out = subprocess.run([sys.executable, os.path.abspath(__file__), "--worker", kind, path, str(threads), str(batch), str(runs)],
                         capture_output=True, text=True)
    m = re.search(r"RESULT ([\d.]+) ([\d.]+) (-?[\d.]+)", out.stdout)
    if not m:
        raise RuntimeError(f"{kind} on {path}: {out.stderr.strip()[-400:]}")
    return tuple(float(x) for x in m.groups())


def run_octet(program, plan, threads, batch, runs):
    cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
    text = subprocess.run(["taskset", "-c", cores, program, plan, "--bench", str(runs), "--threads", str(threads), "--batch",
                           str(batch)], check=True, capture_output=True, text=True).stdout
    m = re.search(r"median ([\d.]+) ms.*?load ([\d.]+) ms.*?memory ([\d.]+) MB", text, re.S)
    return tuple(float(x) for x in m.groups())


def int8_forms(fp32, folder, forms):
    """ONNX Runtime's own quantized files; time does not depend on the calibration data, so it is random."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    node = onnx.load(fp32).graph.input[0]
    shape = [d.dim_value or 1 for d in node.type.tensor_type.shape.dim]

    class Random(CalibrationDataReader):
        def __init__(self):
            self.left = 2

        def get_next(self):
            self.left -= 1
            return {node.name: feed_of(shape, 1)} if self.left >= 0 else None

    clean = os.path.join(folder, "clean.onnx")
    quant_pre_process(fp32, clean, skip_symbolic_shape=True)
    made = {}
    for name, form, activation in [("Q/DQ s8", QuantFormat.QDQ, QuantType.QInt8), ("Q/DQ u8", QuantFormat.QDQ, QuantType.QUInt8),
                                   ("QOperator u8", QuantFormat.QOperator, QuantType.QUInt8)]:
        if name not in forms:
            continue
        path = os.path.join(folder, name.replace("/", "").replace(" ", "_") + ".onnx")
        quantize_static(clean, path, Random(), quant_format=form, per_channel=True, activation_type=activation,
                        weight_type=QuantType.QInt8)
        made["ORT INT8 " + name] = path
    return made


def compare(args, network, threads, batch, forms):
    base = os.path.join(args.folder, network)
    engines = {"ORT FP32": lambda: run_worker("onnxruntime", base + ".fp32.onnx", threads, batch, args.runs),
               "ORT INT8 octet Q/DQ": lambda: run_worker("onnxruntime", base + ".qdq.onnx", threads, batch, args.runs),
               "OpenVINO INT8": lambda: run_worker("openvino", base + ".qdq.onnx", threads, batch, args.runs),
               "octet": lambda: run_octet(args.octet_run, base + ".plan", threads, batch, args.runs)}
    for name, path in forms.items():
        engines[name] = lambda path=path: run_worker("onnxruntime", path, threads, batch, args.runs)
    results = {name: [] for name in engines}
    for _ in range(args.rounds):
        for name, run in list(engines.items()):
            try:
                results[name].append(run())
            except RuntimeError as e:
                print(f"# {e}", file=sys.stderr)
                del engines[name]
    results = {n: r for n, r in results.items() if r}
    ms = {n: statistics.median(x[0] for x in r) for n, r in results.items()}
    if args.verbose:
        for n in ms:
            print(f"#   {n:24} {ms[n]:8.2f} ms, load {min(x[1] for x in results[n]):8.1f} ms, memory {min(x[2] for x in results[n]):7.1f} MB")
    nan = float("nan")
    int8 = min((v for n, v in ms.items() if n.startswith("ORT INT8")), default=nan)
    fp32, vino, octet = ms.get("ORT FP32", nan), ms.get("OpenVINO INT8", nan), ms["octet"]
    best = min(v for v in (fp32, int8) if v == v)
    print(f"| {network} | {threads} | {batch} | {fp32:.2f} | {int8:.2f} | {vino:.2f} | {octet:.2f} | {best / octet:.2f} | {vino / octet:.2f} |",
          flush=True)


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        kind, path = sys.argv[2:4]
        return worker(kind, path, *(int(x) for x in sys.argv[4:7]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--octet-run", default="build/release/bin/octet-run")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ort-forms", nargs="*", default=["Q/DQ s8", "Q/DQ u8", "QOperator u8"],
                        help="which of onnxruntime.quantization's forms to make and try")
    parser.add_argument("--verbose", action="store_true", help="each engine's time, load time and memory")
    args = parser.parse_args()
    print("| network | threads | batch | ORT FP32 ms | ORT INT8 ms | OpenVINO INT8 ms | octet ms | best ORT / octet | OpenVINO / octet |")
    print("|---|---|---|---|---|---|---|---|---|")
    for network in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            forms = int8_forms(os.path.join(args.folder, network + ".fp32.onnx"), folder, args.ort_forms) if args.ort_forms else {}
            for threads in args.threads:
                for batch in args.batch:
                    compare(args, network, threads, batch, forms)


if __name__ == "__main__":
    main()
