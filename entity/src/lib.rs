//! Rows as they lie in the database, one module per table.
