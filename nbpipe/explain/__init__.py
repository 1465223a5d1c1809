"""The explain stage: why the classifier said what it said, and whether these reasons may be believed."""
