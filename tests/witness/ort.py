"""ONNX Runtime sessions for the witnesses."""
import onnxruntime


def session(path, optimize):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path, x, optimize, output=None, batch=64):
    """The output (the first, or the one named) for all rows of x, in batches where the model takes them."""
    import numpy as np
    s = session(path, optimize)
    first = s.get_inputs()[0]
    fixed = first.shape[0] if isinstance(first.shape[0], int) else None
    step = fixed or batch
    names = [o.name for o in s.get_outputs()]
    wanted = output or names[0]
    if wanted not in names:
        raise SystemExit(f"{path}: no output '{wanted}'; it has {names}")
    rows = [s.run([wanted], {first.name: x[i:i + step]})[0] for i in range(0, len(x), step)]
    return np.concatenate(rows)
