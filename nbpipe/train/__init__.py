"""The train stage: labelled documents become a classifier, beside the baselines it has to beat."""
