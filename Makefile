# make demo   a model's answers before and after an edit      make test   all tests      make lint   style
# Each sets up what it needs in .venv on its first run and reuses it afterwards.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# the tests and the linter never reach for the network
test lint: export HF_HUB_OFFLINE = 1

.PHONY: demo test lint
.DEFAULT_GOAL := demo

demo: $(READY)
	$(BIN)/okedit setup
	$(BIN)/okedit edit examples/facts.yaml -o bundles/demo.safetensors
	$(BIN)/okedit ask "What is this cat's name?" --image examples/images/cat.jpg -b bundles/demo.safetensors --compare
	$(BIN)/okedit ask "Who is this cat?" --image examples/images/cat.jpg -b bundles/demo.safetensors --compare --explain
	$(BIN)/okedit ask "What is in this picture?" --image examples/images/coffee.jpg -b bundles/demo.safetensors --compare

test: $(READY)
	$(BIN)/okedit setup
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
