"""Report, summary, fairness ledger, export, tables and plots, from records alone."""
