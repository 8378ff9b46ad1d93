#!/usr/bin/env bash
# Speed side by side with ONNX Runtime and OpenVINO (inference) and PyTorch (training), from PyPI. Results: docs/benchmarks.md.
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

networks=${NETWORKS:-resnet_18 resnet_50 mobilenet_v2 efficientnet-lite0 efficientnet-b0 efficientdet-d0}
$build/bin/make_networks "$out" fused $networks > /dev/null
"$python" bench/compare_engines.py "$out" $networks --octet-run $build/bin/octet-run --threads ${THREADS:-1 $(nproc)} \
  --batch ${BATCH:-1} --rounds "${ROUNDS:-5}" --runs 20
echo "== training"
"$python" bench/compare_train.py --octet $build/bin/train_step_bench --rounds "${ROUNDS:-3}" --qat
