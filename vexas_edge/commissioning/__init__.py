"""Whether a site's slides are like the training patients', and whether a model may answer there."""
