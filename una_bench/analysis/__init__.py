"""Statistics over records. No torch, and no files but records."""
