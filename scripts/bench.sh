#!/usr/bin/env bash
# Speed side by side with ONNX Runtime (inference, one thread, batch 1) and PyTorch (training), from PyPI. Results: docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
out=${OUT_DIR:-$build/bench}
python=${BENCH_PYTHON:-}
if [[ -z "$python" ]]; then
  python=.venv-bench/bin/python
  if ! cmp -s bench/requirements.txt .venv-bench/requirements.stamp; then
    echo "== python packages for the comparison"
    rm -rf .venv-bench
    python3 -m venv .venv-bench
    .venv-bench/bin/pip install -q -r bench/requirements.txt
    cp bench/requirements.txt .venv-bench/requirements.stamp
  fi
fi
mkdir -p "$out"
echo "== CPU:$(grep -m1 "model name" /proc/cpuinfo | cut -d: -f2), $(nproc) cores"
grep -m1 flags /proc/cpuinfo | tr ' ' '\n' | grep -E '^(avx2|avx512f|avx512_vnni|avx512_bf16|amx_int8|amx_bf16)$' | tr '\n' ' '; echo

$build/bin/octet dataset synth -o "$out/data" --classes 2 --train 16 --val 8 --size 224 > /dev/null 2>&1
cat > "$out/spec.yaml" <<EOT
results_dir: $out
dataset: {num_classes: 2, preprocess_mode: torch}
model: {input_width: 224, input_height: 224}
gen_trt_engine: {tensorrt: {calibration: {cal_image_dir: $out/data/train, cal_batch_size: 8, cal_batches: 4}}}
EOT
for network in resnet18 mobilenet_v2; do
  echo "== inference, $network 224x224, batch 1, one thread"
  [[ -f "$out/$network.onnx" ]] || "$python" bench/export_torchvision.py "$network" 224 "$out/$network.onnx" > /dev/null 2>&1
  $build/bin/octet classification build -e "$out/spec.yaml" gen_trt_engine.onnx_file="$out/$network.onnx" \
    gen_trt_engine.trt_engine="$out/$network.plan" > "$out/$network.build.log" 2>&1
  "$python" bench/engine_vs_onnxruntime.py --onnx "$out/$network.onnx" --plan "$out/$network.plan" \
    --octet-run $build/bin/octet-run --rounds "${ROUNDS:-7}" --runs 20 2>/dev/null
done
echo "== training"
"$python" bench/compare_train.py --octet $build/bin/train_step_bench --rounds "${ROUNDS:-3}" --qat
