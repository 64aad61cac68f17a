"""What the daemon costs: in time, in memory, in wake-ups, and to the SDKs that it serves."""
