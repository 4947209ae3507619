//! What libmigrate's tests and benches need, and nothing that a user would.
