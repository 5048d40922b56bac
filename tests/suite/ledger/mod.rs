//! The ledger under kills, on broken disks, and from earlier releases.

mod faults;
mod kills;
mod throughput;
mod upgrades;
