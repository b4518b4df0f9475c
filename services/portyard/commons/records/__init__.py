"""The records that users write into their sandbox's zones."""
