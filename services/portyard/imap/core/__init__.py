"""The IMAP room's core: pure, and fed with events."""
