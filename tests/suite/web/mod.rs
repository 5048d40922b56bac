//! The web server without other programs.

mod requests;
