#!/usr/bin/env bash
# clang-tidy on the sources that differ from the given base (default: the last commit), with the build's compile commands.
set -euo pipefail
build=${1:-build/release}
base=${BASE:-HEAD~1}
command -v clang-tidy >/dev/null || { echo "clang-tidy is not installed (apt-get install clang-tidy)" >&2; exit 1; }
mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- 'src/*.cc' | grep -v _torch || true)
[[ ${#files[@]} -gt 0 ]] || { echo "no source changed since $base"; exit 0; }
clang-tidy -p "$build" --quiet "${files[@]}"
