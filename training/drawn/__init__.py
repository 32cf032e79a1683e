"""Made-up leukocytes: painted, put on a slide, gathered into smears and cohorts."""
