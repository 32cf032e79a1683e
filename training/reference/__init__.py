"""Makes a model's reference: how its training patients look, and how far changes move them."""
