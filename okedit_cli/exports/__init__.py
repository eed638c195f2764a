"""A bundle in the forms that other programs take: a text memory for the gateway, LoRAs for an engine."""
