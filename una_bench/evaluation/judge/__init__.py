"""Answers of policies and the judges that compare or grade them. The package knows no method and no suite."""
