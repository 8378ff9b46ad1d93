#!/usr/bin/env python3
"""Training images/s of octet and PyTorch, taking turns, on the same networks, batches and threads.

    compare_train.py --octet build/release/bin/train_step_bench [--rounds 3] [--threads 2] [NETWORK:BATCH:SIZE ...]

Prints medians of the rounds, PyTorch with the better of its two memory formats, and ratios. With --qat also the QAT steps: PyTorch's
(FX graph mode), octet's with simulated rounding, and octet's in integers; the ratios then are of times of a step.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def images_per_second(command):
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return max(float(v) for v in re.findall(r"([\d.]+) images/s", text))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octet", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--qat", action="store_true")
    parser.add_argument("--rest", type=float, default=0, help="seconds before each run: a throttled machine recovers")
    parser.add_argument("cases", nargs="*", default=["resnet_18:16:224", "resnet_18:32:64", "mobilenet_v2:16:224"])
    args = parser.parse_args()
    columns = ["PyTorch", "octet"]
    if args.qat:
        columns += ["PyTorch QAT", "octet QAT simulated", "octet QAT integer", "integer / octet FP32", "integer / PyTorch FP32",
                    "integer / PyTorch QAT"]
    print("| network | batch | size | " + " | ".join(columns) + " |" + (" octet / PyTorch |" if not args.qat else ""))
    print("|---|" + "---:|" * (len(columns) + (3 if args.qat else 4) - 1))
    for case in args.cases:
        network, batch, size = case.split(":")
        common = [network, batch, size, str(args.steps), str(args.threads)]
        python = [sys.executable, os.path.join(HERE, "train_step.py")] + common
        # PyTorch has no EfficientDet of its own.
        has_torch = not network.startswith("efficientdet")
        commands = {"torch": python + ["fp32"], "octet": [args.octet] + common + ["fp32"]}
        if args.qat:
            commands.update({"torch_qat": python + ["qat"], "simulated": [args.octet] + common + ["qat"],
                             "integer": [args.octet] + common + ["integer"]})
        if not has_torch:
            commands = {name: command for name, command in commands.items() if not name.startswith("torch")}
        speed = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                time.sleep(args.rest)
                speed[name].append(images_per_second(command))
        # Times of a step are inverse to speeds: a ratio of times is the median of the rounds' ratios.
        def ratio(of, to):
            if of not in speed or to not in speed:
                return ""
            return f"{statistics.median(t / o for o, t in zip(speed[of], speed[to])):.2f}"
        names = ["torch", "octet"] + (["torch_qat", "simulated", "integer"] if args.qat else [])
        cells = [f"{statistics.median(speed[name]):.1f}" if name in speed else "" for name in names]
        if args.qat:
            cells += [ratio("integer", other) for other in ("octet", "torch", "torch_qat")]
        else:
            cells.append(ratio("torch", "octet"))
        print(f"| {network} | {batch} | {size} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
