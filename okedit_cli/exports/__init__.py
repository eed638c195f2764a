"""A bundle in the forms that other programs take: a text memory for the gateway, LoRA folders for an engine."""
