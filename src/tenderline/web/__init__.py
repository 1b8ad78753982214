"""The HTML edge: server-rendered pages, kept live by server-sent events."""
