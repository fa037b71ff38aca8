# The commands of this project. `make` alone lists them.

SHELL := bash
PYTHON := .venv/bin/python
PRESENCE_PORT ?= 8080
PRESENCE_OPERATOR_TOKEN ?= presence-operator
PRESENCE_LAN ?= $(LAN)
export PRESENCE_PORT PRESENCE_LAN

.DEFAULT_GOAL := help
.PHONY: help bootstrap up down restart test test-quick check format logs ps psql replay prune sync migrate backup drill restore lock secrets pin bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

bootstrap: # what every other target needs; does nothing where it was done already
	@deploy/local/bootstrap.sh

up: bootstrap ## start the whole stack on this machine and say where to look (PRESENCE_PORT=8080); for phones: make up LAN=1
	@$(PYTHON) -m deploy.local up

down: bootstrap ## stop it; nothing stays behind but the data in .local/
	@$(PYTHON) -m deploy.local down

restart: bootstrap ## restart one component: make restart NAME=chat
	@$(PYTHON) -m deploy.local restart $(NAME)

ps: bootstrap ## what runs
	@$(PYTHON) -m deploy.local status

logs: bootstrap ## follow the logs, or one of them: make logs NAME=chat
	@$(PYTHON) -m deploy.local logs --follow $(NAME)

psql: bootstrap ## a PostgreSQL prompt in the replica's database
	@$(PYTHON) -m deploy.local psql

replay: bootstrap ## give a service events again: make replay NAME=webhook_dispatcher WHAT=dead (or "log post:bob/x 10 20")
	@$(PYTHON) -m deploy.local replay $(NAME) $(WHAT)

prune: bootstrap ## delete now what is over, as each service does by itself; says how much of what
	@$(PYTHON) -m deploy.local prune

sync: ## copy from the primary now instead of at the next interval
	@curl --fail-with-body --silent --show-error --request POST \
	  --header "Authorization: Bearer $(PRESENCE_OPERATOR_TOKEN)" http://localhost:$(PRESENCE_PORT)/api/admin/sync; echo

migrate: bootstrap ## bring the running stack's schema to the newest revision
	@$(PYTHON) -m deploy.local migrate

backup: bootstrap ## back the running stack's database up now, into .local/backups
	@$(PYTHON) -m deploy.local backup

drill: bootstrap ## prove that the newest backup can be restored, beside the live database
	@$(PYTHON) -m deploy.local drill

restore: bootstrap ## put a backup in place of the database, which is kept: make restore FILE=presence-20261127T120000Z.dump
	@$(PYTHON) -m deploy.local restore $(FILE)

test: bootstrap ## every test, on real servers started for the run (SERVERS=containers: in Docker): make test ARGS="-k chat"
	@PRESENCE_TEST_SERVERS=$(SERVERS) $(PYTHON) -m tests $(ARGS)

test-quick: bootstrap ## what needs no server, in half a minute: unit tests, and the bus's suite in memory
	@$(PYTHON) -m pytest --quick tests/unit tests/conformance $(ARGS)

bench: bootstrap ## measure ours beside Node's and stock Socket.IO, for half an hour: make bench ARGS="fanout pose"
	@$(PYTHON) -m bench $(ARGS)

check: bootstrap ## style, types, and which module may import which
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@npm --prefix clients/js run --silent check

format: bootstrap ## let ruff put the code in shape
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

lock: bootstrap ## lock the dependencies of pyproject.toml and package.json again
	@$(PYTHON) -m uv --version >/dev/null 2>&1 || $(PYTHON) -m pip install --quiet uv
	@$(PYTHON) -m uv pip compile --quiet --generate-hashes --no-header --no-annotate --extra dev \
	  --python-version 3.12 pyproject.toml -o requirements/dev.txt
	@$(PYTHON) -m uv pip compile --quiet --generate-hashes --no-header --no-annotate --extra all \
	  --constraint requirements/dev.txt --python-version 3.12 pyproject.toml -o requirements/production.txt
	@echo coincurve | $(PYTHON) -m uv pip compile --quiet --generate-hashes --no-header --no-annotate \
	  --constraint requirements/dev.txt --python-version 3.12 - -o requirements/demo.txt
	@npm install --package-lock-only --silent
	@npm install --prefix clients/js --package-lock-only --silent
	@deploy/local/bootstrap.sh

secrets: ## fill in the passwords and keys that are missing in .env, for Docker Compose; says which
	@sh deploy/compose/secrets.sh

pin: ## write the digests of the images of compose beside their versions (asks their registry; needs Docker)
	@sh deploy/compose/pin.sh
