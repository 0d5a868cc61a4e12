# On a fresh machine: "make demo" trains and evaluates, "make web" opens the page, "make test" and
# "make test-web" (in a browser) check the code, "make bench" measures it, "make figures" draws the
# pictures of the documents.
PYTHON ?= python3
BIN := .venv/bin
MODEL := runs/toy/best.pt
TOY := $(or $(DSVE_DATA),data)/toy
SCENE := $(TOY)/coco/images/val2014/COCO_val2014_000000004255.jpg

# Threads that wait without spinning: as fast on an idle machine, twice as fast on a busy one.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo bench figures web test test-web clean

demo: .venv/installed
	$(BIN)/python train.py --preset toy --resume
	$(BIN)/python eval_retrieval.py -p $(MODEL) --dataset toy -te
	$(BIN)/python pointing_game.py -p $(MODEL) --dataset toy
	$(BIN)/python semantic_seg.py -p $(MODEL) --dataset toy --split test
	$(BIN)/python localize.py -p $(MODEL) -i $(SCENE) -t "a burger" "a mushroom" "a spaceship" -o out
	$(BIN)/python image_features_extraction.py -p $(MODEL) -d $(TOY)/visual_genome/VG_100K* \
		-o out/images.npz --force
	$(BIN)/python text_features_extraction.py -p $(MODEL) -d $(TOY)/captions_test.txt \
		-o out/captions.npz --force
	$(BIN)/python search.py -p $(MODEL) -f out/images.npz "a hot dog and a taxi" --top 4 \
		--open-panel out/search.png

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks

figures: .venv/installed-dev .venv/installed-demo
	$(BIN)/python -m misc.pictures curves runs/toy -o docs/curves.png
	$(BIN)/python search.py -p $(MODEL) -f out/images.npz "a whale and a pizza" "a mushroom" \
		--top 4 --open-panel docs/search.png
	$(BIN)/python -m demo.screenshot docs/page.png -p $(MODEL)

web: .venv/installed-demo
	$(BIN)/python train.py --preset toy --resume
	$(BIN)/python -m demo.app -p $(MODEL)

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov=models --cov=misc

test-web: .venv/installed-dev .venv/installed-demo
	$(BIN)/python -m pytest -m browser -rs tests/demo/test_web.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

.venv/installed-demo: requirements-demo.txt .venv/installed
	$(BIN)/pip install --quiet -r requirements-demo.txt
	touch $@

clean:
	rm -rf .venv out data/toy runs/toy
