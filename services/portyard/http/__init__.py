"""HTTP: a mirror for requests with every answer that a client must cope with, and the accounts' files."""
