#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| probekeeper_fuzz::checks::lint(bytes));
