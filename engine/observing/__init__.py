"""What a decision took and how many there were: numbers, traces, and the stages that both speak of."""
