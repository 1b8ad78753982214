"""Proof that no card number stayed anywhere: database, files, recordings and memory are searched, and what was found,
what could not be searched and what was let pass stands in a signed report."""
