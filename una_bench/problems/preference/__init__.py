"""Preference data for a language model: reading, pairing, templating and tokenization. It knows no method."""
