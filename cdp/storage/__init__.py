"""PostgreSQL: the tables, the engine, the embedded server and the migrations."""
