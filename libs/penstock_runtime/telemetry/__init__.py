"""What a service says about itself: metrics, trace context and the fields of its log lines."""
