"""The shop's routes, one router for each subject."""
