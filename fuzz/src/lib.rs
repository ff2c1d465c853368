//! Fuzz targets of probekeeper. What must hold is in [`checks`], which the package's own tests include too (`tests/fuzz.rs`), so that every find stays a
//! test; what belongs to the fuzzer is in [`mutate`].

pub mod checks;
pub mod mutate;
