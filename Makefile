# make lessons        install once, then open JupyterLab on the lessons
# make test           install once, then run every test, the notebooks included
# make test-browser   test the stepper in a real JupyterLab; needs Chromium or Chrome
# make notebooks      run every lesson on real CIFAR-10 and store its outputs

PYTHON ?= python3
RUN = .venv/bin/python
LAB_ARGS ?=
ROOT_ARGS = $(if $(filter 0,$(shell id -u)),--allow-root)

lessons: .venv/installed
	$(RUN) -m jupyterlab --notebook-dir=notebooks $(ROOT_ARGS) $(LAB_ARGS)

test: .venv/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest

test-browser: .venv/installed
	$(RUN) -m pip install --quiet --editable ".[browser]"
	$(RUN) -m pytest tests/test_browser.py

notebooks: .venv/installed
	CNN_LESSONS_PROFILE=cpu $(RUN) -m tests.store_notebooks

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --editable .
	touch $@

.PHONY: lessons test test-browser notebooks
