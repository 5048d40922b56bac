//! Times of polls, and answers that fail, come late or come by a wrong clock.

mod connection_faults;
mod deliveries_by_hour;
mod first_start;
mod getui_month;
mod holds;
mod jpush_month;
mod late_data;
mod lateness;
mod panics;
mod partial_failures;
mod poll_now;
mod random_faults;
mod reconciliation;
mod simulated_month;
mod wrong_clocks;
