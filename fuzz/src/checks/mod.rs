//! What must hold of any input: one function per fuzz target. A panic is a find.

mod admission;
mod contract;
mod exec;
mod files;
mod policy;

pub use admission::{patch, review};
pub use exec::exec;
pub use files::{fix, lint};
pub use policy::policy;

/// Takes any bytes and panics where something does not hold.
pub type Check = fn(&[u8]);

/// Every check and its name, which is also that of its target and of the folders with its inputs.
pub const CHECKS: [(&str, Check); 6] =
    [("review", review), ("patch", patch), ("policy", policy), ("exec", exec), ("lint", lint), ("fix", fix)];
