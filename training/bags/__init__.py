"""Learns from bags: cells of patients who have a label, while the cells have none."""
