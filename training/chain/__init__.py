"""The whole way from a cohort to a judged bundle, in stages that are done once."""
