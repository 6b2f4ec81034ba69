"""A language model with judged responses, from files or the hub to token ids. It knows no method."""
