# Two commands on a fresh machine: "make demo" trains and evaluates, "make test" checks the code.
PYTHON ?= python3
BIN := .venv/bin
MODEL := runs/toy/best.pt

.PHONY: demo test clean

demo: .venv/installed
	$(BIN)/python train.py --preset toy --resume
	$(BIN)/python eval_retrieval.py -p $(MODEL) --dataset toy -te

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" * (sys.version_info < (3, 11)))'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv runs data/toy
