//! Databases that are away, locked by others, moved, or behind a pooler.

mod locked;
