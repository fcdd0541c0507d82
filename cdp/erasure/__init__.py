"""Records that are frozen, and records that are destroyed: in the database, and in what is left."""
