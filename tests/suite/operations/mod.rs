//! The exporter as a whole: reloads, many messages, odd input, its sources.

mod a_day_of_messages;
mod blocking_calls;
mod fuzz_seeds;
mod heartbeat;
mod imports;
mod many_messages;
mod memory_growth;
mod reload;
