//! Faults that the laws must see.
