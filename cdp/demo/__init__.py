"""The demo: a made-up retailer with known truth, and FEBRL 4 as a second world."""
