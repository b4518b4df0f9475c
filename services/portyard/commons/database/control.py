"""The tables of control.db: sandboxes with their domains, accounts with their keys. Each later store adds a script of its own below."""

from __future__ import annotations

from portyard.commons.database.embedded import Schema

_FIRST = """
CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('account', 0);

CREATE TABLE sandboxes (
    name TEXT PRIMARY KEY,
    generation BIGINT NOT NULL DEFAULT 1,
    capture TEXT NOT NULL,
    default_password TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE domains (
    domain TEXT PRIMARY KEY,
    sandbox TEXT NOT NULL,
    place INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX domains_by_sandbox ON domains (sandbox, place);

CREATE TABLE accounts (
    id BIGINT PRIMARY KEY,
    sandbox TEXT NOT NULL,
    address_key TEXT NOT NULL,
    local_part TEXT NOT NULL,
    domain TEXT NOT NULL,
    password TEXT NOT NULL,
    public_keys TEXT NOT NULL DEFAULT '',
    UNIQUE (sandbox, address_key)
)
"""

CONTROL_SCHEMA = Schema("control", (_FIRST,))
