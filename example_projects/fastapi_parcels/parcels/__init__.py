"""A small parcel shop: a FastAPI app that was there before, and the durable service that it binds."""
