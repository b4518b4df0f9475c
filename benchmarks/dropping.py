"""A peer: aiosmtpd alone, as its documentation starts it, with a handler that drops every message."""

from __future__ import annotations

import signal
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Dropping:
    """Takes and forgets."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """See aiosmtpd's handlers."""
        return "250 2.0.0 dropped"


def main() -> None:
    """Serve on the port that is given until told to stop."""
    controller = Controller(Dropping(), hostname="127.0.0.1", port=int(sys.argv[1]))
    controller.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    controller.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
