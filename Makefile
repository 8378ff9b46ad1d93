# octet: the two commands are `make demo` and `make test`. Both install what they need (Debian 12 packages; sudo when not
# root), build the release preset, and say what they do.
SHELL := /bin/bash
PRESET ?= release
BUILD := build/$(PRESET)
JOBS ?= $(shell nproc)
DATA ?=
FUZZ_SECONDS ?= 600

.PHONY: help demo demo-detector test test-all build setup venv check format tidy asan fuzz bench install clean

help:
	@echo 'make demo [DATA=folder]   train FP32, PTQ, QAT; export; INT8 engine; compare (under 10 minutes on 2 cores)'
	@echo 'make demo-detector        the same for EfficientDet-Lite0, on drawn scenes with boxes'
	@echo 'make test                 all tests but the slow ones'
	@echo 'make test-all             these as well: every backbone through everything'
	@echo 'make build                programs in $(BUILD)/bin'
	@echo 'make bench                speed against ONNX Runtime and PyTorch'
	@echo 'make asan                 tests without LibTorch under address and undefined-behaviour sanitizers'
	@echo 'make fuzz [FUZZ_SECONDS=600]  libFuzzer on every reader of files (installs clang if need be)'
	@echo 'make format tidy check    clang-format; clang-tidy on changed files; layer rules'

setup:
	@scripts/setup.sh

venv: setup
	@scripts/make_venv.sh

build: setup
	@test -f $(BUILD)/build.ninja || { echo '== configure $(PRESET)'; cmake --preset $(PRESET) > /dev/null; }
	@echo '== build $(PRESET)'
	@cmake --build $(BUILD) -j $(JOBS)

test: build venv check
	@echo '== test'
	@cd $(BUILD) && OCTET_PYTHON=$(CURDIR)/.venv/bin/python ctest --output-on-failure -j $(JOBS) -LE slow

test-all: build venv check
	@echo '== test, slow ones too'
	@cd $(BUILD) && OCTET_PYTHON=$(CURDIR)/.venv/bin/python ctest --output-on-failure -j $(JOBS)

demo: build
	@scripts/demo.sh "$(DATA)"

demo-detector: build
	@test -f demo_detector/data/val.json || $(BUILD)/bin/octet dataset synth-scenes -o demo_detector/data --train 800 --val 200
	@SPEC=examples/demo_efficientdet_lite0.yaml OUT_DIR=demo_detector EPOCHS=16 QAT_EPOCHS=6 QAT_LR=0.001 \
	  scripts/detector_workflow.sh demo_detector/data val

check:
	@echo '== layers'
	@python3 scripts/check_layers.py

format:
	@git ls-files '*.h' '*.cc' | xargs clang-format -i

tidy: build
	@scripts/tidy.sh $(BUILD)

asan: setup
	@test -f build/asan/build.ninja || cmake --preset asan > /dev/null
	@cmake --build build/asan -j $(JOBS)
	@cd build/asan && ctest --output-on-failure -j $(JOBS)

fuzz: setup
	@OCTET_EXTRA_PACKAGES=clang scripts/setup.sh
	@scripts/fuzz.sh $(FUZZ_SECONDS)

bench: build venv
	@scripts/bench.sh $(BUILD)

install: build
	@cmake --install $(BUILD)

clean:
	rm -rf build
