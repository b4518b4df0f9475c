"""The journal's tables."""

from __future__ import annotations

from typing import Final

from portyard.commons.database.embedded import Schema

COUNTER: Final = "journal"
"""Moves with every write."""

SCHEMA = Schema(
    "journal",
    (
        """
        CREATE TABLE sessions (
            id TEXT PRIMARY KEY, room TEXT NOT NULL, service TEXT NOT NULL, sandbox TEXT NOT NULL, peer TEXT NOT NULL,
            local TEXT NOT NULL, port TEXT NOT NULL, opened_at TEXT NOT NULL, closed_at TEXT, account TEXT,
            events INTEGER NOT NULL DEFAULT 0, octets INTEGER NOT NULL DEFAULT 0);
        CREATE INDEX sessions_by_sandbox ON sessions (sandbox, id);
        CREATE TABLE events (
            session_id TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL,
            PRIMARY KEY (session_id, seq)) WITHOUT ROWID;
        """,
        """
        ALTER TABLE sessions ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
        """,
        # An older journal isn't worth the time of carrying it over: it begins anew.
        """
        DROP TABLE events;
        DELETE FROM sessions;
        CREATE TABLE pages (
            session_id TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (session_id, seq));
        CREATE TABLE guests (
            sandbox TEXT NOT NULL, session_id TEXT NOT NULL, generation BIGINT NOT NULL, PRIMARY KEY (sandbox, session_id));
        CREATE INDEX guests_by_session ON guests (session_id);
        """,
        # Who follows the journal asks for the sessions of later batches than the last one that it saw.
        """
        ALTER TABLE sessions ADD COLUMN batch BIGINT NOT NULL DEFAULT 0;
        CREATE INDEX sessions_by_batch ON sessions (batch);
        CREATE TABLE batches (one INTEGER PRIMARY KEY, last BIGINT NOT NULL);
        INSERT INTO batches VALUES (1, 0);
        CREATE TABLE tallies (
            room TEXT NOT NULL, service TEXT NOT NULL, kind TEXT NOT NULL, events BIGINT NOT NULL,
            PRIMARY KEY (room, service, kind)) WITHOUT ROWID;
        """,
        # Of sessions that run, events may have gone: they count among the session's, and no longer among the journal's.
        """
        ALTER TABLE sessions ADD COLUMN gone BIGINT NOT NULL DEFAULT 0;
        """,
        # Pages are octets now (see commons.journal.pages); again an older journal begins anew.
        """
        DELETE FROM sessions;
        DELETE FROM guests;
        DROP TABLE pages;
        CREATE TABLE pages (
            session_id TEXT NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (session_id, seq));
        """,
        # Which of a session's events a sandbox sees: see commons.journal.visits.
        """
        ALTER TABLE sessions ADD COLUMN since BIGINT NOT NULL DEFAULT 1;
        ALTER TABLE sessions ADD COLUMN preamble BIGINT NOT NULL DEFAULT 0;
        ALTER TABLE guests ADD COLUMN since BIGINT;
        ALTER TABLE guests ADD COLUMN spans TEXT NOT NULL DEFAULT '';
        UPDATE guests SET since = 1;
        """,
        # Other octets; again an older journal begins anew.
        """
        DELETE FROM sessions;
        DELETE FROM guests;
        DELETE FROM pages;
        """,
        # Pages are compressed now (see commons.journal.packing); again an older journal begins anew.
        """
        DELETE FROM sessions;
        DELETE FROM guests;
        DELETE FROM pages;
        """,
    ),
    scrubbed=False,  # secrets don't come so far, and what is dropped is as much as what comes
)
