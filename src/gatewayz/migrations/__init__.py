"""Numbered steps of the database's shape: add, fill, then remove, each safe while the old code runs."""
