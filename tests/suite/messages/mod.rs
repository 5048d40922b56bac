//! Message ids: registered, followed, retired, and each counted once.

mod api;
mod blame;
mod counting;
mod faults;
mod files;
mod lifetime;
mod simulated_month;
