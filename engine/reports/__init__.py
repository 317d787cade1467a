"""What is told to customers and auditors about a log. It reads beside the service and writes no entry."""
