#!/usr/bin/env bash
# The whole workflow, with a control: train, prune, retrain, then as many epochs more in FP32 (the control) as with QAT; PTQ of the control;
# the INT8 networks by the INT8 engine. Makes the tables of docs/results.md.
# usage: SPEC=spec.yaml OUT_DIR=folder [PRUNE=0.4] [EPOCHS=.. RETRAIN_EPOCHS=.. QAT_EPOCHS=.. QAT_LR=..] workflow.sh DATA [VAL...]
#   DATA/train holds the class folders, DATA/VAL those to evaluate on (default: val). PRUNE=0: no pruning, no retraining.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
octet=${OCTET:-$root/build/release/bin/octet}
data=${1:?the folder with train/ and val/}
shift
splits=("${@:-val}")
spec=${SPEC:?a spec file}
out=${OUT_DIR:?a folder for the results}
prune=${PRUNE:-0.4}
start=$SECONDS
say() { printf '\n== [%dm%02ds] %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$*"; }
newest() { find "$1" -name '*_[0-9]*.octet' 2>/dev/null | sort | tail -1; }
train() {  # folder, settings: a training that has ended is not run again, one that was stopped goes on
  local run=$1
  shift
  if [[ -f "$out/$run/done" ]]; then
    echo "$out/$run/done exists: not trained again"
    return
  fi
  local resume=false
  [[ -z "$(newest "$out/$run/train")" ]] || resume=true
  $octet classification train "${common[@]}" results_dir="$out/$run" train.resume=$resume "$@"
  touch "$out/$run/done"
}

classes=$(find -L "$data/train" -mindepth 1 -maxdepth 1 -type d | wc -l)
common=(-e "$spec" dataset.train_dataset_path="$data/train" dataset.val_dataset_path="$data/${splits[0]}"
        dataset.num_classes="$classes")
mkdir -p "$out"

say "train, FP32, ${EPOCHS:=12} epochs"
train fp32 train.num_epochs="$EPOCHS"
model=$(newest "$out/fp32/train")

if [[ "$prune" != 0 ]]; then
  say "prune: threshold $prune"
  $octet classification prune "${common[@]}" results_dir="$out/pruned" prune.checkpoint="$model" prune.threshold="$prune"
  model=$(find "$out/pruned/prune" -name 'model_*.octet')
  say "retrain the pruned network, FP32, ${RETRAIN_EPOCHS:=6} epochs"
  train retrain train.checkpoint="$model" train.num_epochs="$RETRAIN_EPOCHS"
  model=$(newest "$out/retrain/train")
fi

more=(train.checkpoint="$model" train.num_epochs="${QAT_EPOCHS:=4}" train.lr_config.learning_rate="${QAT_LR:=0.005}"
      train.lr_config.soft_start=0.0)
say "control: $QAT_EPOCHS more epochs in FP32"
train control "${more[@]}"
say "QAT: the same epochs from the same weights"
train qat train.qat=true "${more[@]}"
for run in fp32 control qat; do
  $octet classification export "${common[@]}" results_dir="$out/$run" export.checkpoint="$(newest "$out/$run/train")"
done

say "PTQ of the control, and the INT8 engine of the QAT network from fp32.onnx + calib.cache"
$octet classification build "${common[@]}" results_dir="$out/ptq" gen_trt_engine.onnx_file="$out/control/export/fp32.onnx" \
  gen_trt_engine.tensorrt.calibration.cal_image_dir="$data/train" \
  gen_trt_engine.tensorrt.calibration.cal_batch_size=32 gen_trt_engine.tensorrt.calibration.cal_batches=16 \
  evaluate.classmap="$out/control/train/classmap.json"
$octet classification build "${common[@]}" results_dir="$out/qat" gen_trt_engine.onnx_file="$out/qat/export/fp32.onnx" \
  gen_trt_engine.tensorrt.calibration.cal_cache_file="$out/qat/export/calib.cache" \
  evaluate.classmap="$out/qat/train/classmap.json"

for split in "${splits[@]}"; do
  say "evaluate on $split"
  evaluate() {  # run, then what it evaluates
    $octet classification evaluate "${common[@]}" results_dir="$out/$1/$split" evaluate.dataset_path="$data/$split" "$2" \
      > "$out/$1/evaluate_$split.log"
  }
  evaluate fp32 evaluate.checkpoint="$out/fp32/export/fp32.onnx"
  evaluate control evaluate.checkpoint="$out/control/export/fp32.onnx"
  evaluate ptq evaluate.trt_engine="$out/ptq/build/model.plan"
  evaluate qat evaluate.trt_engine="$out/qat/build/model.plan"
  $octet compare "FP32, first training=$out/fp32/$split/evaluate" "FP32, control=$out/control/$split/evaluate" \
    "PTQ INT8=$out/ptq/$split/evaluate" "QAT INT8=$out/qat/$split/evaluate" -o "$out/report_$split.md"
done

say "inference with the QAT plan on the first class of ${splits[0]}"
first=$(find -L "$data/${splits[0]}" -mindepth 1 -maxdepth 1 -type d | sort | head -1)
$octet classification inference "${common[@]}" results_dir="$out/qat" inference.trt_engine="$out/qat/build/model.plan" \
  inference.image_dir="$first" inference.classmap="$out/qat/train/classmap.json"
say "done: $out/report_*.md"
