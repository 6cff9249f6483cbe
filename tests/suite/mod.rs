//! The tests that every host and every store has to pass.

pub mod conformance;
pub mod rule;
pub mod scenarios;
