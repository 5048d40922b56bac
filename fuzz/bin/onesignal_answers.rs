#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| push_exporter_fuzz::onesignal_answers(input));
