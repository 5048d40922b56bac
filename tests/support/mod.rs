//! Shared parts of the tests: the exporter in a runtime and as a program, its pages and log, scripted providers, faults,
//! expected totals, other programs.

// Each of the two test targets uses a part of it.
#![allow(dead_code, unused_imports)]

mod any_ledger;
pub mod commit_cutter;
pub mod cuttable_proxy;
pub mod engagelab_totals;
mod exporter;
pub mod failing_ledger;
pub mod fault_injection;
pub mod fleet;
pub mod getui_totals;
pub mod growing_apps;
pub mod history;
pub mod hundred_messages;
pub mod jpush_script;
pub mod jpush_totals;
pub mod ledger_world;
mod log;
pub mod onesignal_totals;
mod page;
pub mod postgres;
mod program;
pub mod prometheus;
pub mod readings;
pub mod scripted_provider;
mod time;
mod tools;
pub mod window_scripts;
pub mod window_totals;

pub use any_ledger::{ledger_line, open_store, replica};
pub use exporter::{Exporter, fast_dir, get, get_as, network, post, simulate};
pub use log::Log;
pub use page::Page;
pub use program::{Program, try_get, try_talk};
pub use time::{days, minutes, seconds, until};
pub use tools::{Running, USERS, certificates, eventually, python, said, signal, sqlite, tool};

/// JPush's `details` of a message with ten channels, each with these numbers.
pub fn ten_channels(leaf: &str) -> String {
    let channels = ["jg_android", "huawei", "xiaomi", "oppo", "vivo", "honor", "meizu", "fcm"];
    let android = channels.map(|channel| format!(r#""{channel}":{leaf}"#)).join(",");
    format!(
        r#"{{"notification":{{"target":10000,"sub_android":{{{android}}},"sub_ios":{{"apns":{leaf}}},"sub_hmos":{{"hmpns":{leaf}}}}}}}"#
    )
}
