"""The emulated shell, without a socket and without the host: its grammar, its commands, and the files of one account."""
