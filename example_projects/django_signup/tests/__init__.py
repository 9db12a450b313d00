"""Tests of the project: with the test kit of durably, and with Django's test client."""
