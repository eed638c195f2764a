"""What a scope sees with: text encoders and image encoders. Not here: any decision."""
