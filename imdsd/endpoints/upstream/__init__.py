"""A real metadata service behind ours: what it may answer, how it is asked, what is held of it."""
