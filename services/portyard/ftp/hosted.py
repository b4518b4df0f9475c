"""What the room uses of pyftpdlib, imported in the one order that is quiet.

pyftpdlib stands on asyncore, which is deprecated in Python 3.11; its module `ioloop` keeps the warning to itself, `handlers` doesn't, so
`ioloop` comes first.
"""

from __future__ import annotations

import pyftpdlib.ioloop  # first, see above
from pyftpdlib.exceptions import _FileReadWriteError as FileReadWriteError
from pyftpdlib.exceptions import _RetryError as RetryError
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.handlers.ftp.dispatchers import PassiveDTP
from pyftpdlib.handlers.ftp.producers import BufferedIteratorProducer

AsyncChat = pyftpdlib.ioloop.AsyncChat
DISCONNECTED = frozenset(pyftpdlib.ioloop._ERRNOS_DISCONNECTED)
RETRY = frozenset(pyftpdlib.ioloop._ERRNOS_RETRY)

__all__ = [
    "DISCONNECTED",
    "RETRY",
    "AsyncChat",
    "BufferedIteratorProducer",
    "DTPHandler",
    "FTPHandler",
    "FileReadWriteError",
    "PassiveDTP",
    "RetryError",
]
