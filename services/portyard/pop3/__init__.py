"""The POP3 room (RFC 1939 and its extensions)."""
