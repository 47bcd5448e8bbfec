"""A package, so that what its tests share ends with the last of them: pytest knows no folder as a scope."""
