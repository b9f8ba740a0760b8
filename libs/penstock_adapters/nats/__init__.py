"""The bus: every port that NATS and JetStream serve."""
