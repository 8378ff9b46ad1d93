#!/usr/bin/env bash
# The main job, end to end: data, FP32 training, PTQ baseline, QAT, export, INT8 engine, comparison.
# usage: demo.sh [folder of class folders, or a folder with train/ and val/]
set -euo pipefail
cd "$(dirname "$0")/.."
octet=${OCTET:-build/release/bin/octet}
out=${OUT_DIR:-demo}
spec=${SPEC:-examples/demo_resnet18.yaml}
epochs=${EPOCHS:-6}
qat_epochs=${QAT_EPOCHS:-3}
val=${VAL:-val}  # the folder with the validation images, beside train/
data=${1:-}
start=$SECONDS
say() { printf '\n== [%dm%02ds] %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$*"; }

rm -rf "$out/fp32" "$out/ptq" "$out/qat" "$out/split"
mkdir -p "$out"
if [[ -z "$data" ]]; then
  say "data: a synthetic set of 10 classes in $out/data"
  $octet dataset synth -o "$out/data" --train 300 --val 100
  data=$out/data
elif [[ ! -d "$data/train" || ! -d "$data/$val" ]]; then
  say "data: every fifth image of each class in $data becomes validation (links in $out/split)"
  for class in "$data"/*/; do
    name=$(basename "$class")
    mkdir -p "$out/split/train/$name" "$out/split/val/$name"
    i=0
    while IFS= read -r file; do
      part=train
      if ((i % 5 == 4)); then part=val; fi
      ln -s "$(realpath "$file")" "$out/split/$part/$name/"
      i=$((i + 1))
    done < <(find "$class" -maxdepth 1 -type f | sort)
  done
  data=$out/split
  val=val
fi
classes=$(find -L "$data/train" -mindepth 1 -maxdepth 1 -type d | wc -l)
common=(dataset.train_dataset_path="$data/train" dataset.val_dataset_path="$data/$val" dataset.num_classes="$classes"
        evaluate.dataset_path="$data/$val")

say "FP32: train, export"
$octet classification train -e "$spec" "${common[@]}" results_dir="$out/fp32" train.num_epochs="$epochs"
model=$(ls "$out"/fp32/train/*_[0-9]*.octet | tail -1)
$octet classification export -e "$spec" "${common[@]}" results_dir="$out/fp32" export.checkpoint="$model"

say "PTQ: calibrate the FP32 network, build the INT8 engine (the baseline)"
$octet classification build -e "$spec" "${common[@]}" results_dir="$out/ptq" \
  gen_trt_engine.onnx_file="$out/fp32/export/fp32.onnx" \
  gen_trt_engine.tensorrt.calibration.cal_image_dir="$data/train" \
  gen_trt_engine.tensorrt.calibration.cal_batch_size=32 gen_trt_engine.tensorrt.calibration.cal_batches=16 \
  evaluate.classmap="$out/fp32/train/classmap.json"

say "QAT: train with quantization from the FP32 weights, export, build"
$octet classification train -e "$spec" "${common[@]}" results_dir="$out/qat" train.qat=true train.checkpoint="$model" \
  train.num_epochs="$qat_epochs" train.checkpoint_interval="$qat_epochs" \
  train.lr_config.learning_rate="${QAT_LR:-0.002}" train.lr_config.soft_start=0.0
qat_model=$(ls "$out"/qat/train/*_[0-9]*.octet | tail -1)
$octet classification export -e "$spec" "${common[@]}" results_dir="$out/qat" export.checkpoint="$qat_model"
$octet classification build -e "$spec" "${common[@]}" results_dir="$out/qat" \
  gen_trt_engine.onnx_file="$out/qat/export/fp32.onnx" \
  gen_trt_engine.tensorrt.calibration.cal_cache_file="$out/qat/export/calib.cache" \
  evaluate.classmap="$out/qat/train/classmap.json"

say "evaluate: FP32, PTQ INT8 and QAT INT8, the INT8 ones with the INT8 engine"
$octet classification evaluate -e "$spec" "${common[@]}" results_dir="$out/fp32" evaluate.checkpoint="$out/fp32/export/fp32.onnx" > "$out/fp32/evaluate.log"
$octet classification evaluate -e "$spec" "${common[@]}" results_dir="$out/ptq" evaluate.trt_engine="$out/ptq/build/model.plan" > "$out/ptq/evaluate.log"
$octet classification evaluate -e "$spec" "${common[@]}" results_dir="$out/qat" evaluate.trt_engine="$out/qat/build/model.plan" > "$out/qat/evaluate.log"

say "result"
$octet compare "FP32=$out/fp32/evaluate" "PTQ INT8=$out/ptq/evaluate" "QAT INT8=$out/qat/evaluate" -o "$out/report.md"
cat <<EOT

report             $out/report.md
FP32 ONNX          $out/qat/export/fp32.onnx
calibration cache  $out/qat/export/calib.cache   (trtexec --onnx=fp32.onnx --int8 --calib=calib.cache)
Q/DQ ONNX          $out/qat/export/qdq.onnx
INT8 plan          $out/qat/build/model.plan     (build/release/bin/octet-run $out/qat/build/model.plan IMAGE...)
EOT
say "done"
