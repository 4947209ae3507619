//! The npm package libmigrate.
