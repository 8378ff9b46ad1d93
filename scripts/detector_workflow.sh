#!/usr/bin/env bash
# A detector from nothing to INT8, with a control: train FP32, then as many epochs more in FP32 (the control) as with QAT; PTQ of the
# control; the INT8 networks by the INT8 engine. Makes the table of docs/results.md.
# usage: SPEC=spec.yaml OUT_DIR=folder [EPOCHS=24 QAT_EPOCHS=4 QAT_LR=2e-4] detector_workflow.sh DATA [SPLIT...]
#   DATA holds images/, train.json and SPLIT.json (COCO; default: val). A run that was stopped goes on when called again.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
octet=${OCTET:-$root/build/release/bin/octet}
data=${1:?the folder with images/, train.json and val.json}
shift
splits=("${@:-val}")
spec=${SPEC:?a spec file}
out=${OUT_DIR:?a folder for the results}
start=$SECONDS
say() { printf '\n== [%dm%02ds] %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$*"; }
newest() { find "$1" -name '*_[0-9]*.octet' 2>/dev/null | sort | tail -1; }
common=(-e "$spec" dataset.train_json_file="$data/train.json" dataset.train_dirs="[$data/images]"
        dataset.val_json_file="$data/${splits[0]}.json" dataset.val_dirs="[$data/images]")
train() {  # folder, settings: a training that has ended is not run again, one that was stopped goes on
  local run=$1
  shift
  [[ ! -f "$out/$run/done" ]] || return 0
  local resume=false
  [[ -z "$(newest "$out/$run/train")" ]] || resume=true
  $octet efficientdet train "${common[@]}" results_dir="$out/$run" train.resume=$resume "$@"
  touch "$out/$run/done"
}

mkdir -p "$out"
say "train, FP32, ${EPOCHS:=24} epochs"
train fp32 train.num_epochs="$EPOCHS"
more=(train.checkpoint="$(newest "$out/fp32/train")" train.num_epochs="${QAT_EPOCHS:=4}"
      train.lr_schedule.learning_rate="${QAT_LR:=0.0002}" train.lr_schedule.warmup_epoch=0)
say "control: $QAT_EPOCHS more epochs in FP32"
train control "${more[@]}"
say "QAT: the same epochs from the same weights"
train qat train.qat=true "${more[@]}"

say "export, PTQ of the control, and the INT8 engine of the QAT network from fp32.onnx + calib.cache"
for run in control qat; do
  $octet efficientdet export "${common[@]}" results_dir="$out/$run" export.checkpoint="$(newest "$out/$run/train")"
done
folder_of() {  # annotations, folder: links to their images
  rm -rf "$2" && mkdir -p "$2"
  grep -o '"file_name": *"[^"]*"' "$1" | sed 's/.*: *"//; s/"$//' | sort -u |
    while read -r name; do ln -s "$(realpath "$data/images/$name")" "$2/"; done
}
folder_of "$data/train.json" "$out/train_images"
$octet efficientdet build "${common[@]}" results_dir="$out/ptq" gen_trt_engine.onnx_file="$out/control/export/fp32.onnx" \
  gen_trt_engine.tensorrt.calibration.cal_image_dir="$out/train_images" \
  gen_trt_engine.tensorrt.calibration.cal_batch_size=8 gen_trt_engine.tensorrt.calibration.cal_batches="${CAL_BATCHES:-16}"
$octet efficientdet build "${common[@]}" results_dir="$out/qat" gen_trt_engine.onnx_file="$out/qat/export/fp32.onnx" \
  gen_trt_engine.tensorrt.calibration.cal_cache_file="$out/qat/export/calib.cache"

for split in "${splits[@]}"; do
  say "evaluate on $split"
  evaluate() {  # run, then what it evaluates
    $octet efficientdet evaluate "${common[@]}" dataset.val_json_file="$data/$split.json" results_dir="$out/$1/$split" "$2" \
      > "$out/$1/evaluate_$split.log"
  }
  evaluate control evaluate.checkpoint="$out/control/export/fp32.onnx"
  evaluate ptq evaluate.trt_engine="$out/ptq/build/model.plan"
  evaluate qat evaluate.trt_engine="$out/qat/build/model.plan"
  for run in control ptq qat; do
    printf '%-8s %s\n' "$run" "$(grep -E '^[0-9.]+ +AP(50)? +IoU' "$out/$run/evaluate_$split.log" | awk '{printf "%s %s  ", $2, $1}')"
  done
done

say "pictures of ${splits[-1]} by the QAT plan"
folder_of "$data/${splits[-1]}.json" "$out/pictures_of"
$octet efficientdet inference "${common[@]}" results_dir="$out/qat" inference.trt_engine="$out/qat/build/model.plan" \
  inference.image_dir="$out/pictures_of" inference.min_score_thresh=0.3
say "done: $out/{control,ptq,qat}/SPLIT/evaluate/results.json"
