"""Audiences, schedules and the dialler. Empty until campaigns land."""
