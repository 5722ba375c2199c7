# The commands of footpath's developers. `make serve` and `make test` do all of their own set-up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: torture torture-short torture-tools serve demo test lint types contracts pytest test-lowest lock bench bench-keys bench-sustained bench-fill bench-find bench-insight bench-overload bench-slow bench-tails bench-kinesis bench-sink hostile clean

serve: .venv/installed
	$(BIN)/footpath serve

# Full pages at once: made-up traffic, in a folder of its own.
demo: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[ui]'
	$(BIN)/footpath serve --demo

test: lint types contracts pytest

lint: .venv/developing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/developing
	$(BIN)/mypy

contracts: .venv/developing
	$(BIN)/lint-imports

# In the order of the files, not of their number of tests: the few tests of tests/crash are the longest, and must not be last.
pytest: .venv/developing
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The oldest versions that pyproject.toml allows.
test-lowest: .venv/developing
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable '.[aws]' --group dev
	.venv-lowest/bin/python -m pytest -q tests/unit tests/conformance

bench: .venv/developing
	$(BIN)/python -m bench.ingest

bench-keys: .venv/developing
	$(BIN)/python -m bench.keys

bench-sustained: .venv/developing
	$(BIN)/python -m bench.sustained

FILLED ?= bench/filled
bench-fill: .venv/developing
	$(BIN)/python -m bench.fill --data $(FILLED)

bench-find: .venv/developing
	$(BIN)/python -m bench.find --data $(FILLED)

bench-insight: .venv/browsing
	$(BIN)/python -m bench.insight --data $(FILLED)

include tests/torture.mk tests/scale/scale.mk tests/browser/browser.mk tests/deploy/deploy.mk

bench-overload: .venv/developing
	PUBLISH=$(PUBLISH) $(BIN)/python -m bench.overload
	PUBLISH=$(PUBLISH) $(BIN)/python -m bench.overload --reader

bench-slow: .venv/developing
	PUBLISH=$(PUBLISH) $(BIN)/python -m bench.slow_clients

# What open tails and pages cost those who send.
bench-tails: .venv/browsing
	PUBLISH=$(PUBLISH) $(BIN)/python -m bench.tails

# The journal over Kinesis beside the embedded one, against a stub that answers at once.
bench-kinesis: .venv/developing
	$(BIN)/python -m bench.ingest --contender footpath --contender kinesis --actions 1 --actions 100 --seconds 4

# The sink from records in memory to Parquet.
bench-sink: .venv/developing
	$(BIN)/python -m bench.sink --rounds 3

# The long forms of tests/hostile (the short ones are part of `make test`), and fuzzing for FUZZ seconds each.
FUZZ ?= 45
hostile: .venv/fuzzing
	$(BIN)/python -m pytest -q tests/hostile/long_wide.py
	$(BIN)/python -m tests.fuzz.parsers decode --seconds $(FUZZ)
	$(BIN)/python -m tests.fuzz.parsers query --seconds $(FUZZ)
	$(BIN)/python -m tests.fuzz.openapi --seconds $(FUZZ)

.venv/fuzzing: .venv/developing requirements-hostile.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-hostile.txt
	@touch $@

# Bring the lock file up to date with pyproject.toml.
lock: .venv/developing
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --upgrade \
		--python-version 3.11 --extra aws --group dev --group bench -o requirements-dev.txt
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --upgrade \
		--python-version 3.11 --extra aws --group scale -c requirements-dev.txt -o requirements-scale.txt
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --upgrade \
		--python-version 3.11 --extra ui --group browser -c requirements-dev.txt -o requirements-browser.txt
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --upgrade \
		--python-version 3.11 --group hostile -c requirements-dev.txt -o requirements-hostile.txt

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "footpath needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo "this Python cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@touch $@

.venv/installed: .venv/made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/developing: .venv/made pyproject.toml requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@ .venv/installed

clean:
	rm -rf .venv .venv-lowest build dist .coverage* .mypy_cache .ruff_cache .hypothesis
