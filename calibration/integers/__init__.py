"""From a network in float32 to the same network in integers."""
