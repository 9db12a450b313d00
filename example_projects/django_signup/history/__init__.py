"""What was done, for whom, and how often: the project's own record, which no handler depends on."""
