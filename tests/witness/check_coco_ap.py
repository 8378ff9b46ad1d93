"""Compares octet's COCO numbers with those of pycocotools: argument is a list of cases (truth, detections, ours)."""
import contextlib
import io
import json
import sys

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def evaluate(truth_path, detections_path):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(truth_path)
        run = COCOeval(truth, truth.loadRes(detections_path), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    per_category = []
    for k in range(len(run.params.catIds)):
        values = run.eval["precision"][:, :, k, 0, 2]
        values = values[values > -1]
        per_category.append(float(np.mean(values)) if values.size else -1.0)
    return list(map(float, run.stats)), per_category


worst = 0.0
cases = json.load(open(sys.argv[1]))
for case in cases:
    numbers, categories = evaluate(case["truth"], case["detections"])
    for name, theirs, ours in (("numbers", numbers, case["ours"]["numbers"]),
                               ("categories", categories, case["ours"]["categories"])):
        difference = float(np.max(np.abs(np.array(theirs) - np.array(ours))))
        worst = max(worst, difference)
        if difference > 1e-6:
            print(f"{case['truth']}: {name}\n pycocotools {theirs}\n octet       {ours}")
print(f"{len(cases)} cases, largest difference {worst:.2e}")
sys.exit(1 if worst > 1e-6 or not cases else 0)
