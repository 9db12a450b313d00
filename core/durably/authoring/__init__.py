"""What users write: services, handlers, options, and what a handler is given."""
