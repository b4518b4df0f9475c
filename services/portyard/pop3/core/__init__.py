"""POP3 without a socket."""
