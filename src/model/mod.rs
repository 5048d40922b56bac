//! Plain data that the other modules exchange: numbers with the series they feed, and calendar windows.

pub mod reading;
pub mod window;
