# Every target does its own set-up, says what it waits for, and may be run again at any time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := $(or $(PORTYARD_VENV),.venv)
COMPOSE := docker compose -p $(or $(PORTYARD_PROJECT),portyard)
.PHONY: help up down test soak lint bench clean logs ca diagrams image user dev

help: ## show this
	@printf '\nPortyard: a yard full of ports to point real clients at.\n\n'
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  PORTYARD_ENGINE=docker|embedded forces an engine; PORTYARD_PORT_OFFSET moves the host ports (3000).\n\n'

up: user ## start the testbed and print its endpoints (again: print them again)
	@$(VENV)/bin/portyard up

down: user ## stop it; its state stays
	@$(VENV)/bin/portyard down

logs: user ## follow what the running testbed writes
	@if ! grep -qs embedded .portyard/engine && $(COMPOSE) ps --all --quiet 2>/dev/null | grep -q .; then $(COMPOSE) logs --follow --tail 50; \
	else tail -n 50 -F .portyard/*.log; fi

ca: user ## print the CA certificate to verify with
	@$(VENV)/bin/portyard ca

test: ## run every test that this machine can run
	@scripts/test $(ARGS)

soak: dev ## load all rooms for SOAK_SECONDS (300) and see that nothing goes on growing
	@SOAK_SECONDS=$(or $(SOAK_SECONDS),300) $(VENV)/bin/python -m pytest -n 0 -s -m soak tests/soak

lint: dev ## ruff, mypy and shellcheck
	@scripts/lint

bench: dev ## measure beside other servers, and write benchmarks/results/
	@$(VENV)/bin/python -m benchmarks

diagrams: dev ## draw the state tables into docs/states/
	@$(VENV)/bin/python scripts/diagrams.py
	@$(VENV)/bin/python scripts/persona_keys.py

image: ## build the container image
	@scripts/image

clean: ## remove what was built, the virtual environment and the containers' state
	@scripts/clean

user:
	@scripts/setup user

dev:
	@scripts/setup dev
