# The project's commands; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stages run `python`, so the environment's must come first. Everything is started as `python -m`: a
# console script holds the path of the folder that it was installed in, and fails if that moves.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
PRESET ?=
NAME = strategies
AUDIT := pip-audit==2.10.1
KILLS ?= 1
FAULTS ?= tests/faults tests --kills $(KILLS)
MINUTES ?= 60
SEED ?=
PORT ?= 5000

.DEFAULT_GOAL := help
.PHONY: help setup setup-remote repro study test test-faults soak lint audit licences ui plots serve demo up down clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: $(VENV)/.ready ## create .venv with the exact versions of requirements.lock
	@made="$$(sed -n 's/^command = .* -m venv .*--clear //p' $(VENV)/pyvenv.cfg)"; \
	test "$$made" = "$(CURDIR)/$(VENV)" || echo "note: this environment was made as $$made; make" \
		"works here, but before \`. $(BIN)/activate\` run \`rm -r $(VENV) && make setup\`"

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; run make PYTHON=python3.12 (or newer)"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip sync --require-hashes --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@grep -q MLFLOW_TRACKING_URI $(BIN)/activate || printf '%s\n' \
		'export MLFLOW_BACKEND_STORE_URI=sqlite:///mlruns/mlflow.db' \
		'export MLFLOW_TRACKING_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlruns/mlflow.db}"' \
		'export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true' >> $(BIN)/activate
	@touch $@

setup-remote: $(VENV)/.remote ## add what a DVC remote or MLflow artifacts in S3 need (requirements-remote.lock)

$(VENV)/.remote: requirements-remote.lock $(VENV)/.ready
	$(BIN)/uv pip install --require-hashes --quiet --compile-bytecode --python $(BIN)/python -r $<
	@touch $@

# The report stage ends with the summary, but it runs only if something changed. So here it leaves the
# summary to the last line, which prints it whether or not any stage ran.
# A DVC that was killed while it wrote its list of locks leaves it empty, and every later one refuses that.
repro: export SUMMARY_FOLLOWS = 1
repro: setup ## run the pipeline; with PRESET=NAME, as a DVC experiment with a preset of conf/
	@find .dvc/tmp -name rwlock -empty -delete 2>/dev/null || true
ifeq ($(PRESET),)
	$(RUN) python -m dvc repro
else
	$(RUN) sh -c 'changes=$$(python -m src.preset $(PRESET)) && exec python -m dvc exp run $$changes'
endif
	@$(RUN) python -m src.summary

study: setup ## run NAME of studies/ outside the workspace and write reports/study-NAME.html
	$(RUN) sh -c 'changes=$$(python -m src.preset $(NAME)) || exit; \
		python -m dvc exp remove --quiet $(NAME) 2>/dev/null; \
		exec python -m dvc exp run --temp --quiet --name $(NAME) $$changes'
	$(RUN) python -m dvc get --quiet --force . reports/index.html --rev $(NAME) --out reports/study-$(NAME).html
	@echo "reports/study-$(NAME).html holds the report; make ui shows the runs"

test: export OMP_NUM_THREADS = 1 # or the test processes compete for cores
test: setup lint ## run lint and all tests but those of `make test-faults`
	$(RUN) python -m pytest -n logical --maxprocesses 4 --dist loadfile

test-faults: export OMP_NUM_THREADS = 1
test-faults: setup ## kill, double, starve and cut off for real; KILLS=10 for ten moments of each step
	$(RUN) python -m pytest -n 2 --dist loadfile -m 'faults or long' $(FAULTS)

soak: export OMP_NUM_THREADS = 1
soak: setup ## kill, change and lose at random for MINUTES=60, from SEED if given, and check
	$(RUN) python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: setup ## check style and types with ruff and mypy
	$(RUN) python -m ruff check .
	$(RUN) python -m ruff format --check .
	$(RUN) python -m mypy

# Not a part of `make test`: a vulnerability that is found later must not fail a version that passed.
# With --strict, a package that could not be asked about is not passed over. pip-audit ends with 1
# both when it finds something, which it prints, and when it cannot ask. requirements-remote.lock has all
# of requirements.lock.
audit: setup ## ask which versions of the locks have known vulnerabilities (needs a network)
	@mkdir -p .cache; found=$$($(BIN)/uv tool run --quiet --from $(AUDIT) pip-audit --strict \
		--requirement requirements-remote.lock --disable-pip --require-hashes --progress-spinner off \
		2> .cache/audit.log) && echo "no known vulnerabilities in the locks" && exit; \
	test -z "$$found" || { printf '%s\n' "$$found"; exit 1; }; \
	echo "error: audit: offline, or the index has no advisories, so nothing was audited" \
		"($$(tail -n 1 .cache/audit.log | cut -c 1-200)); run it where PyPI answers" >&2; exit 2

licences: setup-remote ## write docs/licences.md, the licence of each package of the locks
	$(RUN) python -m src.licences

# A tracking server serves pages itself, whose addresses the second command prints.
ui: export MLFLOW_BACKEND_STORE_URI = $(or $(MLFLOW_TRACKING_URI),sqlite:///mlruns/mlflow.db)
ui: setup ## serve the MLflow UI on http://127.0.0.1:5000, or on PORT=5003
	$(RUN) python -m src.tracking reconcile
	$(RUN) python -m src.tracking pages --port $(PORT)
	$(if $(filter http%,$(MLFLOW_TRACKING_URI)),,$(RUN) python -m mlflow ui --host 127.0.0.1 --port $(PORT))

plots: setup ## write dvc_plots/index.html, what `dvc plots show` draws, readable without a network
	$(RUN) python -m src.plots

serve: setup ## serve the champion on http://127.0.0.1:5001, to this machine alone
	$(RUN) python -m src.serve

demo: setup ## serve a page on http://127.0.0.1:5002: whose face a photo shows, and labels in doubt
	$(RUN) python -m src.demo

up: setup-remote ## try docs/scale.md: PostgreSQL, S3 and MLflow servers, for this machine alone
	@$(RUN) python -m tests.services up

down: setup ## stop the servers of `make up` and delete all that they hold
	@$(RUN) python -m tests.services down

clean: ## remove caches that can be rebuilt (never data, models or runs)
	@test ! -e .cache/services || { echo "error: clean: servers run; first run make down" >&2; exit 2; }
	rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
