"""One file for each CRM: how a caller is looked up. Empty until donor routing lands."""
