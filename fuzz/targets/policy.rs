#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| probekeeper_fuzz::checks::policy(bytes));

// Where the policy is JSON, which is YAML too, half of the changes leave it JSON.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 2 == 0 { None } else { probekeeper_fuzz::mutate::json(data, size, max_size, seed) };
    changed.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
