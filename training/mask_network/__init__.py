"""The mask network: its images and masks, its training, and how well it finds cells."""
