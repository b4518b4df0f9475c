"""Which sandbox a request names: by header field, path prefix, account or host name, the most explicit first.

Knows names, and nothing of what is served under them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from portyard.commons.accounts.claiming import sandbox_of_login
from portyard.commons.accounts.model import Accounts
from portyard.commons.sandbox.model import DEFAULT, Sandboxes

FIELD = "X-Portyard-Sandbox"
MARKS = ("/~", "/%7E", "/%7e")  # RFC 3986 §2.3: the same; some clients encode it


class UnknownSandboxError(LookupError):
    """A request names a sandbox that isn't there.

    Attributes:
        key: What named it: the header field, or "path".
        value: The name.
    """

    def __init__(self, key: str, value: str) -> None:
        super().__init__(f"there is no sandbox {value!r}")
        self.key = key
        self.value = value


def split_prefix(target: str) -> tuple[str, str]:
    """A request target without the prefix that names a sandbox, and that prefix: "/~t1/get" is ("/get", "/~t1")."""
    if not target.startswith(MARKS):
        return target, ""
    end = min((at for at in (target.find(mark, 1) for mark in "/?#") if at > 0), default=len(target))
    rest = target[end:]
    return (rest if rest.startswith("/") else f"/{rest}"), target[:end]


@lru_cache(maxsize=4096)
def domains_of(host: str) -> tuple[str, ...]:
    """A Host field's name and the domains above it, the longest first; none of an address or a single label.

    "mail.t1.test:3080" is ("mail.t1.test", "t1.test").
    """
    name = host.strip().lower()
    if name.startswith("["):
        return ()
    labels = name.partition(":")[0].rstrip(".").split(".")
    if labels[-1].isdecimal() or not all(labels):
        return ()
    return tuple(".".join(labels[at:]) for at in range(len(labels) - 1))


def may_name(headers: Mapping[str, str]) -> bool:
    """Whether a request's header fields can name a sandbox at all."""
    return FIELD in headers or bool(domains_of(headers.get("Host", "")))


@dataclass(frozen=True, slots=True)
class Naming:
    """Finds the sandbox.

    Attributes:
        sandboxes: All there are.
        accounts: Of whom one may be claimed.
    """

    sandboxes: Sandboxes
    accounts: Accounts

    async def sandbox_of(
        self, headers: Mapping[str, str], prefix: str, login: str | None, otherwise: str, home: str = DEFAULT
    ) -> str:
        """The sandbox of a request.

        Args:
            headers: Its header fields.
            prefix: The prefix of its path, or "".
            login: The login name that it claims where that matters, or None.
            otherwise: The answer where it names none: what its connection is in, by SNI or by its listener.
            home: Whose the listener is, and with it a bare login name.

        Raises:
            UnknownSandboxError: The field or the prefix names one that isn't there.
        """
        explicit = headers.get(FIELD)
        if explicit is not None or prefix:
            return await self._get(explicit, prefix)
        claimed = None if login is None else await sandbox_of_login(self.accounts.at(home), self.sandboxes, login)
        if claimed is not None:
            return claimed
        for domain in domains_of(headers.get("Host", "")):
            owner = await self.sandboxes.owner(domain)
            if owner is not None and owner.name != DEFAULT:  # the testbed's own names say nothing against a listener
                return owner.name
        return otherwise

    async def _get(self, explicit: str | None, prefix: str) -> str:
        key, name = (FIELD, explicit.strip()) if explicit is not None else ("path", _name_in(prefix))
        sandbox = await self.sandboxes.get(name.lower())
        if sandbox is None:
            raise UnknownSandboxError(key, name)
        return sandbox.name


def _name_in(prefix: str) -> str:
    return prefix[len(next(mark for mark in MARKS if prefix.startswith(mark))) :]
