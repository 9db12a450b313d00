"""The project, killed while people sign up: `python -m demo`, or `make demo-django` from the root of the repository."""
