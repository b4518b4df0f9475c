"""The core: pure, the same for every role, and run both ways (as a server and as a client)."""
