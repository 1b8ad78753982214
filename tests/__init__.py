"""A package, so that it is found before one of the same name that a dependency brings (sippy installs its tests)."""
