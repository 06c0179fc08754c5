.DEFAULT_GOAL := help
PYTHON ?= python

help: ## Print these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

install: ## Install the project for development into the active environment
	$(PYTHON) -m pip install -U pip
	$(PYTHON) -m pip install -e ".[emulator]" --group dev

fmt: ## Format the code
	ruff format .
	ruff check --fix .

lint: ## Check format and style
	ruff format --check .
	ruff check .

type: ## Check types with mypy and pyright
	mypy
	pyright

test: ## Run the tests
	$(PYTHON) -m pytest

docs: ## Build the documentation as a site into build/site, and follow each link
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build -f docs/website/mkdocs.yml
	$(PYTHON) docs/website/check_site.py build/site

pages: ## Write the pages that are generated
	$(PYTHON) docs/contract_coverage.py
	$(PYTHON) docs/fault_reference.py
	$(PYTHON) docs/control_reference.py
	$(PYTHON) docs/settings_reference.py
	$(PYTHON) docs/latency_reference.py
	$(PYTHON) docs/grade_reference.py
	$(PYTHON) docs/script_reference.py

charts: ## Draw the charts of the pages from their tables
	$(PYTHON) docs/charts.py

screenshots: ## Take the pictures of the inspector that the docs show, in a real Chromium
	PHI_SCREENSHOTS=1 $(PYTHON) -m pytest -q tests/inspector/test_screenshots.py

accuracy: ## Measure the bundled model's accuracy from the shipped files
	$(PYTHON) emulator/bundled_model/evaluate.py

bench: ## Compare the client's speed with its peers, and the emulator's with its engine
	$(PYTHON) -m benchmarks.client_speed
	phi-emulator bench

grade-proof: ## Find planted bugs by phi-emulator grade, and nothing in right programs
	$(PYTHON) -m benchmarks.grade

serve: ## Start the emulator with the bundled model
	phi-emulator serve

build: ## Build sdist and wheel into dist/
	$(PYTHON) -m build

foreign-replays: ## Have litellm and langchain-openai read a recording
	.ci/foreign-replays

foreign-suites: ## Run the suites of langchain-tests and azure-ai-inference against the emulator
	.ci/foreign-suites

ci-snippets: ## Run what the docs and the action tell CI services to run
	.ci/snippets

image: ## Build the emulator's image without Docker, in a chroot, and try it (root on Debian)
	PYTHON=$(PYTHON) .ci/image

release: ## Check, build and tag the version in pyproject.toml; pushes nothing
	bash .ci/release

check: lint type test build ## All that CI runs, in this environment

.PHONY: help install fmt lint type test docs screenshots pages charts accuracy bench grade-proof serve build foreign-suites foreign-replays ci-snippets image release check
