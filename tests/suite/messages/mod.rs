//! Message ids: registered, followed, retired, and each counted once.

mod api;
mod blame;
mod callbacks;
mod categories;
mod counting;
mod discovery;
mod engagelab_month;
mod faults;
mod files;
mod lifetime;
mod listed;
mod push_plans;
mod simulated_month;
