"""The log as others see and check it: checkpoints, witnesses, tiles, proofs. It writes no entry but about itself."""
