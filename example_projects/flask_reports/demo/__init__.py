"""The demo: people who have reports built while the application is killed."""
