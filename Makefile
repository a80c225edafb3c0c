# Everything runs in .venv, which is made at the first need. PYTHON=/path/to/python chooses its interpreter,
# ARGS="…" is handed to the tests, e.g. make test ARGS="tests/losses -x".
BIN := .venv/bin
ARGS :=
export PYTHON

# A second run of the tests takes its compiled programs from the cache. JAX does not write its entries
# atomically, so one that a killed test leaves behind may be cut short: it must not fail the next run.
PYTEST := JAX_COMPILATION_CACHE_DIR="$(CURDIR)/.venv/jax-cache" JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	$(BIN)/python -m pytest -W "ignore:Error reading persistent compilation cache:UserWarning"

.DEFAULT_GOAL := help
.PHONY: help demo test learn lint format docs bench pins clean runtime dev

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

demo: runtime ## train PPO on CartPole, eight seeds at once, and draw its learning curve
	@dir=runs/demo; n=1; while [ -e "$$dir" ]; do n=$$((n + 1)); dir=runs/demo-$$n; done; set -x; \
	$(BIN)/rtg train ppo CartPole-v1 --seeds 8 --total-steps 200000 --run-dir $$dir

test: dev ## the tests, two at a time
	@$(PYTEST) -n 2 $(ARGS)

learn: dev ## the slow learning checks, minutes each
	@$(PYTEST) -m slow $(ARGS)

lint: dev ## formatting, lint and types
	@$(BIN)/ruff format --check --quiet . || { echo "Run make format." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/pyright

format: dev ## rewrite the sources as ruff has them
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

docs: dev ## build the documentation into site/, every warning an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # --quiet would hide its warnings from --strict

bench: dev ## the benchmarks against their peers; writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks.run $(ARGS)

pins: dev ## renew requirements-dev.txt
	@tools/pin.sh

clean: ## remove what can be made again: .venv, caches, site/ (runs/ stays)
	rm -rf .venv .pytest_cache .ruff_cache build dist site
	find src tests benchmarks experiments -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@tools/setup.sh demo

dev:
	@tools/setup.sh dev
