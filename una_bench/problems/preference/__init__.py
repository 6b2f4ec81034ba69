"""Preference data in words: read from hubs or files, judged, paired, put into the policy's template, tokenized once."""
