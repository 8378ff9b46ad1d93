"""Reads a calibration cache with struct and compares every scale with amax / 127 in float32.

usage: check_cache.py FILE [amax.json]      amax.json: {"tensor name": amax, ...}
Without amax.json only the form is checked. Prints the number of scales.
"""
import json
import re
import struct
import sys


def float32(value):
    return struct.unpack(">f", struct.pack(">f", value))[0]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    assert data.endswith(b"\n") and b"\r" not in data, "line ends"
    lines = data.decode("ascii").split("\n")[:-1]
    assert re.fullmatch(r"TRT-[0-9]{4,6}-[A-Za-z0-9]+", lines[0]), f"header {lines[0]!r}"
    scales = {}
    for number, line in enumerate(lines[1:], 2):
        name, text = line.rsplit(": ", 1)
        assert re.fullmatch(r"[0-9a-f]{8}", text), f"line {number}: {text!r}"
        assert name and name == name.strip() and ":" not in name, f"line {number}: name {name!r}"
        assert name not in scales, f"line {number}: {name!r} stands twice"
        scales[name] = struct.unpack(">f", bytes.fromhex(text))[0]
        assert 0 < scales[name] < float("inf"), f"line {number}: scale {scales[name]}"
    if len(sys.argv) == 3:
        with open(sys.argv[2], encoding="utf-8") as f:
            amax = json.load(f)
        assert set(amax) == set(scales), f"names differ: {sorted(set(amax) ^ set(scales))[:5]}"
        for name, value in amax.items():
            # The quotient of two float32, rounded to float32: exact in double first.
            want = float32(float32(value) / 127.0)
            assert scales[name] == want, f"{name}: scale {scales[name]!r}, amax {value!r} / 127 = {want!r}"
    print(f"{sys.argv[1]}: ok, {lines[0]}, {len(scales)} scales")


if __name__ == "__main__":
    main()
