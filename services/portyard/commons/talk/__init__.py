"""The transcript language: what a journal prints and a test reads. docs/talk.md tells it from the reader's side."""
