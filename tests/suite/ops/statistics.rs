//! Moment rules against draws.
