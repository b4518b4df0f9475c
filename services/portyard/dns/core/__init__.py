"""What the DNS room knows without a socket."""
