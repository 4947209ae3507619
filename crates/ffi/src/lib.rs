//! The C library libmigrate.
