"""The rules of segments as they come with the product."""
