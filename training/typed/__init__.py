"""How well cells are named, and what it does to scores of patients that a model names them."""
