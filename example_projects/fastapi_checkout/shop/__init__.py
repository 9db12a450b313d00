"""A small shop: accounts, a catalogue, orders, carts, refunds."""
