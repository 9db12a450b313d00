"""Signing up: a form, a mail with a link, reminders, and an account or none."""
