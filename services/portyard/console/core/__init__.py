"""What the console decides without a socket or a store."""
