"""The `portyard` command: up, down, status, endpoints, ca, serve."""
