"""The IMAP4rev1 room (RFC 3501)."""
