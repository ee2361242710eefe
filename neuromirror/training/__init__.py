"""Learning from images: circuits as networks of torch, awake on batches and mirroring in between."""
