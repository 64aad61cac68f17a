"""Files of an installation: found, judged, replaced, and remembered."""
