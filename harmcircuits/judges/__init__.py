"""What reads a response."""
