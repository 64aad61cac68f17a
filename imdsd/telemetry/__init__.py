"""What the daemon says about itself: log events and metrics."""
