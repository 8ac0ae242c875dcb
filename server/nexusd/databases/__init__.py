"""PostgreSQL and SQLite behind one protocol, and the statements they run."""
