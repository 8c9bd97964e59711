# make lessons        install once, copy the lessons to my-lessons/, open JupyterLab on the first;
#                     TORCH=cpu the first time leaves out what only NVIDIA's GPUs need
# make test           install once, then run every test, the notebooks included
# make test-browser   test the panels in a real JupyterLab and Notebook; needs Chromium or Chrome
# make handout        the lessons for a class, without answers and outputs, in handout/
# make slides         the lessons as slides, with outputs, in slides/
# make site           the course as a web site, in build/site; `make test-site` tests it and the slides
# make links          write your own address into badges, set-up cells, READMEs, CITATION
# make notebooks      run every lesson on real CIFAR-10, store its outputs and the key for teachers

PYTHON ?= python3
RUN = .venv/bin/python
LAB_ARGS ?=
TORCH ?=
CPU = https://download.pytorch.org/whl/cpu
WORKERS ?= 2
ADDRESS ?=
ROOT_ARGS = $(if $(filter 0,$(shell id -u)),--allow-root)

lessons: .venv/for-lessons
	$(RUN) -m cnn_lessons lessons
	$(RUN) -m jupyterlab my-lessons/00_start_here.ipynb $(ROOT_ARGS) $(LAB_ARGS)

test: .venv/for-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest --numprocesses=$(WORKERS) --dist=loadfile

test-browser: .venv/for-browser
	$(RUN) -m pytest tests/test_browser.py

handout: .venv/for-lessons
	$(RUN) -m cnn_lessons lessons --folder handout --without-answers

slides: .venv/for-slides
	$(RUN) -m tests.slides

site: .venv/for-site
	$(RUN) -m docs.site

test-site: .venv/for-site
	$(RUN) -m pytest tests/test_site.py tests/test_slides.py

links: .venv/for-test
	$(RUN) -m tests.links $(ADDRESS)

notebooks: .venv/for-test
	CNN_LESSONS_PROFILE=cpu $(RUN) -m tests.store_notebooks
	$(RUN) -m tests.teaching

.venv/for-test: EXTRAS = [test]
.venv/for-browser: EXTRAS = [test,browser]
.venv/for-slides: EXTRAS = [slides]
.venv/for-site: EXTRAS = [test,browser,site,slides]
.venv/for-lessons .venv/for-test .venv/for-browser .venv/for-slides .venv/for-site: \
		requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(if $(filter cpu,$(TORCH)),$(RUN) -m pip install torch torchvision --index-url $(CPU))
	$(RUN) -m pip install --editable ".$(EXTRAS)"
	touch .venv/for-lessons $@

.PHONY: lessons handout slides test test-browser site test-site links notebooks
