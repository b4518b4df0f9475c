"""What each command answers, a file for each family. A handler yields octets, effects and at last its tagged answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from portyard.imap.core.commands import append, auth, fetch, flags, listing, mailbox, search, selected, transfer
from portyard.imap.core.context import Answer, Context
from portyard.imap.core.model import (
    Append,
    Authenticate,
    Capability,
    Check,
    Close,
    Command,
    Copy,
    Create,
    Delete,
    Enable,
    Examine,
    Expunge,
    Fetch,
    Id,
    Idle,
    List,
    Login,
    Logout,
    Lsub,
    Move,
    Namespace,
    Noop,
    Rename,
    Search,
    Select,
    Starttls,
    Status,
    Store,
    Subscribe,
    Unselect,
    Unsubscribe,
)

Handler = Callable[[Context, Any], AsyncIterator[Answer]]

HANDLERS: Mapping[type[Command], Handler] = {
    Capability: auth.capability,
    Noop: selected.noop,
    Logout: auth.logout,
    Id: auth.identify,
    Starttls: auth.starttls,
    Authenticate: auth.authenticate,
    Login: auth.login,
    Enable: auth.enable,
    Select: mailbox.select,
    Examine: mailbox.select,
    Create: mailbox.create,
    Delete: mailbox.delete,
    Rename: mailbox.rename,
    Subscribe: mailbox.subscribe,
    Unsubscribe: mailbox.subscribe,
    Status: mailbox.status,
    List: listing.list_mailboxes,
    Lsub: listing.list_subscribed,
    Namespace: listing.namespace,
    Append: append.append,
    Idle: selected.idle,
    Check: selected.noop,
    Close: selected.close,
    Unselect: selected.unselect,
    Expunge: selected.expunge,
    Search: search.search,
    Fetch: fetch.fetch,
    Store: flags.store,
    Copy: transfer.transfer,
    Move: transfer.transfer,
}
