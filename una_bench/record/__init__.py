"""The record: what running writes and reading reads. Both meet only here."""
