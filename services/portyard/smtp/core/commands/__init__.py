"""The answer to each command: `async (context, command) -> effects`; a refusal is raised as PeerError."""
