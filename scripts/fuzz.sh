#!/usr/bin/env bash
# Builds the libFuzzer targets (clang, address and undefined-behaviour sanitizers, no LibTorch) and runs each for SECONDS
# (default 600). A finding is written to build/fuzz/findings and makes the script fail.
#   scripts/fuzz.sh [SECONDS] [TARGET ...]      targets: onnx cache model spec plan coco records safetensors npy
# Files of OCTET_SHARED_DATA, if there, are seeds of onnx too.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(onnx cache model spec plan coco records safetensors npy)

command -v clang++ > /dev/null || { echo "fuzzing needs clang: apt-get install clang" >&2; exit 1; }
if [[ ! -f build/fuzz/build.ninja ]]; then
  CC=clang CXX=clang++ cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DOCTET_BUILD_FUZZERS=ON \
    -DOCTET_WITH_TORCH=OFF -DOCTET_SANITIZE=ON -DOCTET_BUILD_BENCH=OFF -DOCTET_BUILD_TESTS=OFF > /dev/null
fi
cmake --build build/fuzz --target octet_fuzz_seeds "${targets[@]/#/octet_fuzz_}"
work=build/fuzz
mkdir -p $work/findings
$work/bin/octet_fuzz_seeds $work/seeds
shared=${OCTET_SHARED_DATA:-../shared/data}
if [[ -d $shared ]]; then
  find "$shared" -name '*.onnx' -size -16k | while read -r file; do
    cp -f "$file" "$work/seeds/onnx/$(echo "${file#"$shared"/}" | tr / _)"
  done
fi
failed=0
for target in "${targets[@]}"; do
  mkdir -p $work/corpus/$target
  echo "== $target, $seconds s"
  $work/bin/octet_fuzz_$target -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 -max_len=16384 \
    -artifact_prefix=$work/findings/$target- $work/corpus/$target $work/seeds/$target > $work/$target.log 2>&1 || {
    failed=1
    tail -40 $work/$target.log
  }
  grep -E "stat::number_of_executed_units|stat::peak_rss|^#.*DONE" $work/$target.log || true
done
exit $failed
