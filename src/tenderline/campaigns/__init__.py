"""Calls of ours: what they are for, and one planned through the gate. Audiences and the dialler come with campaigns."""
