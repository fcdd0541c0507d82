"""Who saw whom, when and why: written before it happens, sealed so that it stays true."""
