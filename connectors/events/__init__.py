"""What other systems' SDKs send, translated: bodies in, events out. Pure."""
