# The two commands of the README: `make demo` and `make test`. Both build the environment themselves.
SHELL := /bin/bash
PYTHON ?= python3
EMOSPACE_VENV ?= .venv
BIN := $(EMOSPACE_VENV)/bin
PACKAGES := conventions face3d datamodules metrics toyworld lightning_modules experiments ablations emospace
CODE := $(PACKAGES) tests benchmarks studies

.PHONY: env demo model test test-slow lint clean

env:
	@$(PYTHON) emospace/environment.py "$(EMOSPACE_VENV)"

demo: env
	@$(BIN)/emospace demo

# FACES: a folder of VoxCeleb2 clips (vox_*.mp4) on which HEF is trained beside the toy world.
model: env
	@$(BIN)/python -m emospace.box $(if $(FACES),--faces "$(FACES)")

lint: env
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright --pythonpath $(BIN)/python

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: env
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf .venv work runs wandb
