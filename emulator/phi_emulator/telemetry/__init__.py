"""What an exchange is told of to others: metrics for Prometheus, spans for OpenTelemetry; see emulators-house.md."""
