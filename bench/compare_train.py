#!/usr/bin/env python3
"""Training images/s of octet and PyTorch, taking turns, on the same networks, batches and threads.

    compare_train.py --octet build/release/bin/train_step_bench [--rounds 3] [--threads 2] [NETWORK:BATCH:SIZE ...]

Prints the median of the rounds for both, PyTorch with the better of its two memory formats, and the ratio. With --qat also octet's
QAT step.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys

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
    parser.add_argument("cases", nargs="*", default=["resnet_18:16:224", "resnet_18:32:64", "mobilenet_v2:16:224"])
    args = parser.parse_args()
    print("| network | batch | size | PyTorch images/s | octet images/s | octet / PyTorch |" + (" octet QAT images/s |" if args.qat else ""))
    print("|---|---:|---:|---:|---:|---:|" + ("---:|" if args.qat else ""))
    for case in args.cases:
        network, batch, size = case.split(":")
        common = [network, batch, size, str(args.steps), str(args.threads)]
        torch, octet, qat = [], [], []
        for _ in range(args.rounds):
            torch.append(images_per_second([sys.executable, os.path.join(HERE, "train_step.py")] + common))
            octet.append(images_per_second([args.octet] + common))
            if args.qat:
                qat.append(images_per_second([args.octet] + common + ["qat"]))
        ratio = statistics.median(o / t for o, t in zip(octet, torch))
        line = f"| {network} | {batch} | {size} | {statistics.median(torch):.1f} | {statistics.median(octet):.1f} | {ratio:.2f} |"
        print(line + (f" {statistics.median(qat):.1f} |" if args.qat else ""), flush=True)


if __name__ == "__main__":
    main()
