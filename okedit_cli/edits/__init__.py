"""What an edit is, in pure tensors: no files, no models."""
