"""A Django project with plain and durable views, for the tests."""
