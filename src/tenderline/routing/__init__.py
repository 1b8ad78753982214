"""Who calls, which segment that is, and (with queues) who answers."""
