"""What is wrong between the configuration and an SDK, and what to do about it."""
