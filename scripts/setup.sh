#!/usr/bin/env bash
# Installs the Debian packages that octet builds with, if any are missing. Needs root or sudo only then.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache make python3 python3-venv
  libtorch-dev libdnnl-dev libopenblas0-pthread
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev
  libprotobuf-dev protobuf-compiler libonnx-dev
  zlib1g-dev libyaml-cpp-dev libcli11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)
# What only some targets of the Makefile need: clang for `make fuzz`.
read -r -a extra <<< "${OCTET_EXTRA_PACKAGES:-}"
packages+=("${extra[@]}")

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [[ "$status" == "install ok installed" ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "== packages: all ${#packages[@]} are installed"
  exit 0
fi

root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "These packages are missing: ${missing[*]}. Install them as root and run again." >&2; exit 1; }
  root=(sudo)
fi
echo "== packages: installing ${missing[*]}"
"${root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "== packages: done"
