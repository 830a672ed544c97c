# Set-up, demo and tests on a bare machine: Debian, Python 3.11, make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where the demo writes; recipes take it from the shell, so that no sign in it means anything.
DEMO_OUTPUT ?= demo-output
export DEMO_OUTPUT

.PHONY: setup demo test test-all test-fast docs chaos gpu lint format clean

setup: $(READY)

# torch goes first, so that nothing else can choose another build of it.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps resemblyzer
	$(BIN)/python -c "$$DROP_CUDA_EXTENSIONS"
	$(BIN)/python -c "$$ADD_CLUSTER"
	touch $(READY)

# torchaudio's wheel is built for CUDA; on a torch without it, its compiled extensions cannot be
# loaded and the import fails. It works without them, so they are removed.
define DROP_CUDA_EXTENSIONS
import importlib.util, pathlib, torch
if torch.version.cuda is None:
    home = pathlib.Path(importlib.util.find_spec("torchaudio").origin).parent
    for extension in (home / "lib").glob("_torchaudio*.so"):
        extension.unlink()
endef
export DROP_CUDA_EXTENSIONS

# What `.[cluster]` adds, in a folder of its own for the tests of job servers: among the packages it
# would change every Ray that a test starts, which then serves its metrics to the whole network.
define ADD_CLUSTER
import json, os, shutil, subprocess, sys, tomllib
with open("pyproject.toml", "rb") as file:
    extra = tomllib.load(file)["project"]["optional-dependencies"]["cluster"]
folder = os.path.join(sys.prefix, "cluster")
pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
asked = [*pip, "--dry-run", "--report", "-", "-c", "constraints.txt", *extra]
report = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout)
pins = ["{name}=={version}".format(**one["metadata"]) for one in report["install"]]
shutil.rmtree(folder, ignore_errors=True)
if pins: subprocess.run([*pip, "--no-deps", "--target", folder, *pins], check=True)
endef
export ADD_CLUSTER

demo: setup
	$(BIN)/uniaudio2 demo -- "$$DEMO_OUTPUT"

# Two processes; a file's tests share what it makes once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup lint
	$(PYTEST) -m "not nightly"

# Also whole matrices of which `test` takes a part.
test-all: setup lint
	$(PYTEST)

# Under three minutes on two quiet cores: no Ray, nothing that is slow by itself.
test-fast: setup
	$(PYTEST) -m "not ray and not slow and not nightly"

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html"

# Long: kills of every kind under failing storage, written down in tests/chaos/RESULTS.md.
chaos: setup
	$(BIN)/python -m tests.chaos --out tests/chaos/RESULTS.md

# For a machine with a GPU: what is skipped without one, benches, agreement, kernels, in ten minutes;
# again, it goes on where it stopped. With DEVICE=cpu narrow shapes, to see that it works.
DEVICE ?= cuda
export DEVICE
gpu: setup
	$(BIN)/python -m benchmarks.on_gpu --device "$$DEVICE"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Nothing that comes from outside names what is removed.
clean:
	@test "$$DEMO_OUTPUT" = demo-output || { echo "make clean removes demo-output of this folder alone, and DEMO_OUTPUT is another; remove that by hand and unset it" >&2; exit 1; }
	rm -rf -- .venv demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis build site *.egg-info
