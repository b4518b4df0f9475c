"""The tables of control.db: sandboxes with their domains, accounts with their keys, rules, clocks. Each later store adds a script below."""

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

_SECOND = """
ALTER TABLE sandboxes ADD COLUMN magic INTEGER NOT NULL DEFAULT 0;
INSERT INTO counters VALUES ('rule', 0), ('rule_set', 0);
INSERT INTO counters SELECT 'generation', COALESCE(MAX(generation), 1) FROM sandboxes;

CREATE TABLE rules (
    id BIGINT PRIMARY KEY,
    sandbox TEXT NOT NULL,
    name TEXT,
    rule TEXT NOT NULL,
    revision BIGINT NOT NULL DEFAULT 0,
    matched BIGINT NOT NULL DEFAULT 0,
    hits BIGINT NOT NULL DEFAULT 0,
    scopes BIGINT NOT NULL DEFAULT 0,
    last_session TEXT,
    last_at TEXT,
    UNIQUE (sandbox, name)
);
CREATE INDEX rules_by_sandbox ON rules (sandbox, id);
CREATE TABLE rule_scopes (
    rule_id BIGINT NOT NULL,
    scope TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    matched BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    PRIMARY KEY (rule_id, scope)
) WITHOUT ROWID;
CREATE TABLE rule_sets (sandbox TEXT PRIMARY KEY, version BIGINT NOT NULL) WITHOUT ROWID;
CREATE TABLE magic_counts (
    sandbox TEXT NOT NULL,
    scope TEXT NOT NULL,
    hits BIGINT NOT NULL,
    PRIMARY KEY (sandbox, scope)
) WITHOUT ROWID;

CREATE TABLE clocks (sandbox TEXT PRIMARY KEY, frozen_us BIGINT, ahead_us BIGINT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS records (
    sandbox TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    place INTEGER NOT NULL,
    ttl INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (sandbox, name, type, place)
);

CREATE TABLE retired (
    account_id BIGINT PRIMARY KEY,
    sandbox TEXT NOT NULL,
    address TEXT NOT NULL,
    generation BIGINT NOT NULL,
    since BIGINT NOT NULL,
    purged INTEGER NOT NULL DEFAULT 0
)
"""

_THIRD = """
CREATE TABLE leases (
    sandbox TEXT NOT NULL,
    service TEXT NOT NULL,
    endpoints TEXT NOT NULL,
    accepts INTEGER NOT NULL,
    failure TEXT NOT NULL,
    PRIMARY KEY (sandbox, service)
) WITHOUT ROWID
"""

# `carries` is the rooms that a rule asks for faults of bytes, as its `on` names them: a shared listener has to know before any sandbox is
# named. Of rules that stood before it is taken to be every room; the index holds only those that ask.
_FOURTH = """
ALTER TABLE rules ADD COLUMN carries TEXT NOT NULL DEFAULT '';
UPDATE rules SET carries = '*'
    WHERE rule LIKE '%latency%' OR rule LIKE '%bandwidth%' OR rule LIKE '%slice%' OR rule LIKE '%stall%'
    OR rule LIKE '%cut_after%' OR rule LIKE '%reset%' OR rule LIKE '%half_close%' OR rule LIKE '%corrupt%';
CREATE INDEX rules_by_carries ON rules (carries) WHERE carries <> ''
"""

# An account number is kept for an hour after it was retired; what is due of them is found without a look at the others.
_FIFTH = """
CREATE INDEX retired_fresh ON retired (account_id) WHERE purged = 0;
CREATE INDEX retired_by_age ON retired (since)
"""

CONTROL_SCHEMA = Schema("control", (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH))
