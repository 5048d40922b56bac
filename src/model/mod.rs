//! Plain data that the other modules exchange: numbers with the series they feed, calendar windows, and advice.

pub mod advice;
pub mod reading;
pub mod window;
