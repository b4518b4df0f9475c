"""The tables of mail.db, and the keys that tie them.

A message's key is `mailbox_id << 32 | uid`: never used twice, and the table lies in the order in which mailboxes are read. A body's key is
the key of the message that brought it, so an original finds its body without an index and only copies are indexed by body.
"""

from __future__ import annotations

from portyard.commons.database.embedded import Schema

UID_BITS = 32  # RFC 3501 §2.3.1.1
UID_MASK = (1 << UID_BITS) - 1
COUNTER = "mail"
"""Moves with every change of any mailbox."""

_FIRST = """
CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('mailbox', 0), ('uid_validity', 0);

CREATE TABLE mailboxes (
    id BIGINT PRIMARY KEY,
    account_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    uid_validity BIGINT NOT NULL,
    uid_next BIGINT NOT NULL DEFAULT 1,
    highest_modseq BIGINT NOT NULL DEFAULT 1,
    special_use TEXT,
    messages BIGINT NOT NULL DEFAULT 0,
    unseen BIGINT NOT NULL DEFAULT 0,
    size BIGINT NOT NULL DEFAULT 0,
    recent_from BIGINT NOT NULL DEFAULT 1,
    UNIQUE (account_id, name)
);

CREATE TABLE subscriptions (
    account_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
) WITHOUT ROWID;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    mailbox_id BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    flags TEXT NOT NULL,
    internal_date BIGINT NOT NULL,
    zone INTEGER NOT NULL,
    size BIGINT NOT NULL,
    body_id BIGINT NOT NULL,
    delivery_id TEXT
);
CREATE INDEX messages_by_modseq ON messages (mailbox_id, modseq);
CREATE INDEX copies_by_body ON messages (body_id) WHERE body_id <> id;

CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    size BIGINT NOT NULL,
    file TEXT,
    structure BLOB NOT NULL,
    head BLOB NOT NULL,
    rest BLOB
);
CREATE INDEX bodies_by_file ON bodies (file) WHERE file IS NOT NULL;
CREATE TABLE garbage (body_id BIGINT PRIMARY KEY, since BIGINT NOT NULL);

CREATE TABLE tombstones (
    mailbox_id BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    PRIMARY KEY (mailbox_id, modseq, uid)
) WITHOUT ROWID;

CREATE TABLE deliveries (
    delivery_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    uid_validity BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, recipient)
) WITHOUT ROWID
"""

# Deliveries whose message is gone, since when (the machine's time): whoever knows that nobody hands them over again removes them.
_SECOND = """
CREATE INDEX deliveries_by_message ON deliveries (message_id);
CREATE TABLE spent (message_id BIGINT PRIMARY KEY, since BIGINT NOT NULL);
CREATE INDEX spent_by_time ON spent (since);
INSERT INTO spent
    SELECT DISTINCT message_id, 0 FROM deliveries d WHERE NOT EXISTS (SELECT 1 FROM bodies WHERE id = d.message_id)
"""

MAIL_SCHEMA = Schema("mail", (_FIRST, _SECOND))


def message_key(mailbox_id: int, uid: int) -> int:
    """The key of a message."""
    return mailbox_id << UID_BITS | uid
