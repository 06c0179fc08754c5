"""What was asked and answered lately, what became of it, and where the time went. It must not know HTTP or engines."""
