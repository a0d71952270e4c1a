//! Limit: how often somebody may come.
