"""The room's paths, a module per kind; each has its `ROUTES`."""
