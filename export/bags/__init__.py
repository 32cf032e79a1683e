"""The network of bags, as `vexas-workshop train bags` trains it, and its graphs."""
