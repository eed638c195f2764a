# make demo   a model's answers before and after an edit      make test   all tests      make lint   style
# make test-families   tests of every model family, of which `make test` runs a part
# make families-table   the same, and the README's table of what they found
# Each sets up what it needs in .venv on its first run and reuses it afterwards.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# the tests and the linter never reach for the network
test test-families families-table lint: export HF_HUB_OFFLINE = 1

.PHONY: demo test test-families families-table lint
.DEFAULT_GOAL := demo

demo: $(READY)
	$(BIN)/okedit setup
	$(BIN)/okedit edit examples/facts.yaml -o bundles/demo.safetensors
	$(BIN)/okedit ask "What is this cat's name?" --image examples/images/cat.jpg -b bundles/demo.safetensors --compare
	$(BIN)/okedit ask "Who is this cat?" --image examples/images/cat.jpg -b bundles/demo.safetensors --compare --explain
	$(BIN)/okedit ask "What is in this picture?" --image examples/images/coffee.jpg -b bundles/demo.safetensors --compare

test: $(READY)
	$(BIN)/okedit setup
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-families families-table: export OKEDIT_FAMILIES = all
test-families families-table: $(READY)
	$(BIN)/okedit setup
	$(BIN)/python -m pytest tests/families $(if $(filter families-table,$@),,tests/session) $(if $(filter families-table,$@),--families-table README.md)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
