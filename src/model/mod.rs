//! Plain data that the other modules exchange: numbers with the series they feed, calendar windows, and advice.

pub mod advice;
pub mod message_source;
pub mod reading;
pub mod window;
