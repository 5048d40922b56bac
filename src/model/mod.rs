//! Plain data that the rest exchanges: numbers with the series they feed, and calendar windows.

pub mod reading;
pub mod window;
