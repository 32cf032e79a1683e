"""The whole chain from a cohort to a judged bundle, in stages that are each run once."""
