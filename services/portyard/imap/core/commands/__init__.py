"""What each command answers, a file for each family. A handler yields octets, effects and at last its tagged answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from portyard.imap.core import model
from portyard.imap.core.commands import append, auth, fetch, flags, listing, mailbox, search, selected, transfer
from portyard.imap.core.context import Answer, Context

Handler = Callable[[Context, Any], AsyncIterator[Answer]]

HANDLERS: Mapping[type[model.Command], Handler] = {
    model.Capability: auth.capability,
    model.Noop: selected.noop,
    model.Logout: auth.logout,
    model.Id: auth.identify,
    model.Starttls: auth.starttls,
    model.Authenticate: auth.authenticate,
    model.Login: auth.login,
    model.Enable: auth.enable,
    model.Select: mailbox.select,
    model.Examine: mailbox.select,
    model.Create: mailbox.create,
    model.Delete: mailbox.delete,
    model.Rename: mailbox.rename,
    model.Subscribe: mailbox.subscribe,
    model.Unsubscribe: mailbox.subscribe,
    model.Status: mailbox.status,
    model.List: listing.list_mailboxes,
    model.Lsub: listing.list_subscribed,
    model.Namespace: listing.namespace,
    model.Append: append.append,
    model.Idle: selected.idle,
    model.Check: selected.noop,
    model.Close: selected.close,
    model.Unselect: selected.unselect,
    model.Expunge: selected.expunge,
    model.Search: search.search,
    model.Fetch: fetch.fetch,
    model.Store: flags.store,
    model.Copy: transfer.transfer,
    model.Move: transfer.transfer,
}
