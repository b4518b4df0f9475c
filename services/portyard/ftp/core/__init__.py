"""What the FTP room knows without a socket: addresses, listings, line endings, and what a failed transfer is called."""
