"""What a load sends and when, fixed before its first request."""
