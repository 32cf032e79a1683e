"""What is made from the results and records of a folder, and can be made again."""
