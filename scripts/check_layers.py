#!/usr/bin/env python3
"""Checks who includes whom (ARCHITECTURE.md, "Layers") and that heavy libraries show in the file name or folder.

A file includes only from its own folder and from layers below; siblings of one layer do not see each other unless the
table names an exception. Prints every breach; exit code 1 if there is one.
"""
import pathlib
import re
import sys

LAYERS = [
    ["base"],
    ["tensor"],
    ["quant", "spec", "data", "dist"],
    ["ir", "detection"],
    ["ops"],
    ["passes", "zoo", "onnx", "tensorrt", "report"],
    ["train", "engine", "lint"],
    ["task"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# data reads a spec's settings through plain structs, so no sibling exceptions are needed so far.
EXCEPTIONS = set()

# library -> (include pattern, where it may appear)
HEAVY = {
    "LibTorch": (r"<(torch|ATen|c10)/", lambda p: p.parts[0] == "train" or "_torch" in p.stem),
    "oneDNN": (r"<(oneapi/dnnl|dnnl)", lambda p: p.parts[0] == "engine" or "_dnnl" in p.stem),
    "OpenCV": (r"<opencv2/", lambda p: "_cv" in p.stem),
    "protobuf": (r"<(google/protobuf|onnx)/", lambda p: "_pb" in p.stem),
    "CLI11": (r"<CLI/", lambda p: p.parts[0] == "cli" or p.stem.endswith("_main")),
}


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent / "src"
    breaches = []
    count = 0
    for path in sorted(list(root.rglob("*.h")) + list(root.rglob("*.cc"))):
        relative = path.relative_to(root)
        folder = relative.parts[0]
        if folder not in LEVEL:
            breaches.append(f"src/{relative}: folder '{folder}' is in no layer")
            continue
        count += 1
        # A program's main is the top of its own little pyramid.
        is_main = path.stem.endswith("_main")
        is_test = path.stem.endswith("_test")
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#include\s+([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            if match.group(1) == '"':
                target = match.group(2).split("/")[0]
                if target not in LEVEL:
                    breaches.append(f"src/{relative}:{number}: include path {match.group(2)} does not start with a layer")
                elif target != folder and not is_main and (folder, target) not in EXCEPTIONS:
                    if LEVEL[target] > LEVEL[folder] or (LEVEL[target] == LEVEL[folder] and not is_test):
                        breaches.append(f"src/{relative}:{number}: {folder} (layer {LEVEL[folder]}) includes "
                                        f"{target} (layer {LEVEL[target]})")
            else:
                for library, (pattern, allowed) in HEAVY.items():
                    if re.match(pattern, "<" + match.group(2)) and not allowed(relative):
                        breaches.append(f"src/{relative}:{number}: {library} is included here; see HEAVY in {sys.argv[0]}")
    for breach in breaches:
        print(breach)
    print(f"{count} files, {len(breaches)} breaches of the layer rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
