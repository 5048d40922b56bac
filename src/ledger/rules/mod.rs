//! The rules of a commit, pure and the same for every engine: from an answer and the rows that it depends on to the rows
//! that change. An engine loads what [`needs::Needs`] lists, calls [`commit::apply`], creates the fields and series
//! that are new, and writes the [`commit::Changes`]. [`super::counting`] decides what a single reading counts.

pub(crate) mod clock;
pub(crate) mod commit;
pub(crate) mod counters;
pub(crate) mod due;
pub(crate) mod hours;
pub(crate) mod messages;
pub(crate) mod needs;
pub(crate) mod registration;
pub(crate) mod retention;
mod window_gauges;
mod windows;

#[cfg(test)]
mod tests;
