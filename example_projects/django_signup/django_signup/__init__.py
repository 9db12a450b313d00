"""The project: settings, routes, and the applications for web servers."""
