//! The exposition answers whatever providers do.

mod silent_provider;
