"""The write jobs on mailboxes: create, delete, rename, subscribe. They run on the writer's thread, inside its transaction."""

from __future__ import annotations

from portyard.commons.database.engine import Transaction
from portyard.commons.mailstore.model import (
    DELIMITER,
    INBOX,
    InvalidMailboxNameError,
    Mailbox,
    MailboxExistsError,
    NoSuchMailboxError,
)
from portyard.commons.mailstore.rows import MAILBOX_COLUMNS, MAILBOX_FROM, canonical, checked, mailbox_of, superiors
from portyard.commons.mailstore.schema import COUNTER
from portyard.commons.mailstore.writing import discard_bodies, transfer

STANDARD: tuple[tuple[str, str | None], ...] = (
    (INBOX, None),
    ("Archive", "\\Archive"),
    ("Drafts", "\\Drafts"),
    ("Junk", "\\Junk"),
    ("Sent", "\\Sent"),
    ("Trash", "\\Trash"),
)  # RFC 6154 §2
_MAX_UID_VALIDITY = 0xFFFFFFFF


def mailboxes_counter(account_id: int) -> str:
    """The counter that moves when an account's set of mailboxes or subscriptions does."""
    return f"account:{account_id}"


def mailbox_counter(mailbox_id: int) -> str:
    """The counter that moves with each change of a mailbox."""
    return f"mailbox:{mailbox_id}"


def ensure_account(work: Transaction, account_id: int, seconds: int) -> None:
    """Make INBOX and the special-use mailboxes, subscribed, unless the account has its INBOX (then a missing one was deleted)."""
    if find(work, account_id, INBOX) is not None:
        return
    for name, use in STANDARD:
        _insert(work, account_id, name, use, seconds)
        subscribe(work, account_id, name, True)


def find(work: Transaction, account_id: int, name: str) -> Mailbox | None:
    """One mailbox, as the transaction sees it."""
    rows = work.execute(
        f"SELECT {MAILBOX_COLUMNS} FROM {MAILBOX_FROM} WHERE m.account_id = ? AND m.name = ?",  # noqa: S608
        (account_id, canonical(name)),
    )
    return mailbox_of(rows[0]) if rows else None


def create(work: Transaction, account_id: int, name: str, use: str | None, seconds: int) -> Mailbox:
    """See `Mailstore.create`."""
    name = checked(name)
    ensure_account(work, account_id, seconds)
    if find(work, account_id, name) is not None:
        raise MailboxExistsError(f"mailbox {name} exists")
    for above in superiors(name):  # RFC 3501 §6.3.3: SHOULD create the superior names
        if find(work, account_id, above) is None:
            _insert(work, account_id, above, None, seconds)
    _insert(work, account_id, name, use, seconds)
    made = find(work, account_id, name)
    assert made is not None
    return made


def _insert(work: Transaction, account_id: int, name: str, use: str | None, seconds: int) -> None:
    key = work.execute("UPDATE counters SET value = value + 1 WHERE name = 'mailbox' RETURNING value")[0][0]
    # One counter for all names, so that no name ever meets a value again, renamed mailboxes included (RFC 3501 §2.3.1.1).
    validity = work.execute(
        "UPDATE counters SET value = CASE WHEN value < ? THEN ? ELSE value + 1 END WHERE name = 'uid_validity' RETURNING value",
        (seconds, seconds),
    )[0][0]
    work.execute(
        "INSERT INTO mailboxes (id, account_id, name, uid_validity, special_use) VALUES (?, ?, ?, ?, ?)",
        (key, account_id, name, min(validity, _MAX_UID_VALIDITY), use),
    )
    _moved(work, account_id)


def delete(work: Transaction, account_id: int, name: str, now_s: int) -> None:
    """See `Mailstore.delete`."""
    mailbox = find(work, account_id, name)
    if mailbox is None:
        raise NoSuchMailboxError(f"no mailbox {name}")
    if mailbox.name == INBOX:  # RFC 3501 §6.3.4
        raise InvalidMailboxNameError("INBOX can't be deleted")
    _remove(work, mailbox.id, account_id, now_s)


def _remove(work: Transaction, mailbox_id: int, account_id: int, now_s: int) -> None:
    bodies = [row[0] for row in work.execute("SELECT body_id FROM messages WHERE mailbox_id = ?", (mailbox_id,))]
    work.execute("DELETE FROM messages WHERE mailbox_id = ?", (mailbox_id,))
    work.execute("DELETE FROM tombstones WHERE mailbox_id = ?", (mailbox_id,))
    work.execute("DELETE FROM mailboxes WHERE id = ?", (mailbox_id,))
    discard_bodies(work, bodies, now_s)
    work.bump(mailbox_counter(mailbox_id))
    _moved(work, account_id)


def forget(work: Transaction, account_id: int, now_s: int) -> None:
    """Remove an account's mailboxes, INBOX too, and its subscriptions."""
    for (mailbox_id,) in work.execute("SELECT id FROM mailboxes WHERE account_id = ?", (account_id,)):
        _remove(work, mailbox_id, account_id, now_s)
    work.execute("DELETE FROM subscriptions WHERE account_id = ?", (account_id,))


def rename(work: Transaction, account_id: int, name: str, new_name: str, seconds: int) -> None:
    """See `Mailstore.rename`."""
    source = find(work, account_id, name)
    if source is None:
        raise NoSuchMailboxError(f"no mailbox {name}")
    new_name = checked(new_name)
    if source.name == INBOX:  # RFC 3501 §6.3.5: its messages move, it stays, and those below it stay too
        target = create(work, account_id, new_name, None, seconds)
        transfer(work, source.id, None, target, remove=True)
        return
    below = source.name + DELIMITER
    if new_name.startswith(below):
        raise InvalidMailboxNameError(f"mailbox {source.name} can't move below itself")
    moving = work.execute(
        "SELECT id, name FROM mailboxes WHERE account_id = ? AND (name = ? OR name >= ? AND name < ?)",
        (account_id, source.name, below, source.name + chr(ord(DELIMITER) + 1)),
    )
    renamed = {mailbox_id: new_name + old[len(source.name) :] for mailbox_id, old in moving}
    for target_name in renamed.values():
        if find(work, account_id, checked(target_name)) is not None:
            raise MailboxExistsError(f"mailbox {target_name} exists")
    for above in superiors(new_name):
        if find(work, account_id, above) is None:
            _insert(work, account_id, above, None, seconds)
    for mailbox_id, target_name in renamed.items():
        work.execute("UPDATE mailboxes SET name = ? WHERE id = ?", (target_name, mailbox_id))
    _moved(work, account_id)


def _moved(work: Transaction, account_id: int) -> None:
    """An account's set of mailboxes is another."""
    work.bump(mailboxes_counter(account_id))
    work.bump(COUNTER)


def subscribe(work: Transaction, account_id: int, name: str, subscribed: bool) -> None:
    """See `Mailstore.subscribe`."""
    name = checked(name) if subscribed else canonical(name)
    if subscribed:
        sql = "INSERT INTO subscriptions (account_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING"
    else:
        sql = "DELETE FROM subscriptions WHERE account_id = ? AND name = ?"
    work.execute(sql, (account_id, name))
    work.bump(mailboxes_counter(account_id))
