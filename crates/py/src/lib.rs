//! The Python package libmigrate.
