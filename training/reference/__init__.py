"""Makes a model's reference: what its training patients look like, and how far changes move them."""
