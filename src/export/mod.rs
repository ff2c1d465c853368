//! The policy as ValidatingAdmissionPolicy: for each rule that CEL can express exactly, an object that the API server evaluates by itself.

mod facts;
mod found;
mod host;
mod past;
mod table;
mod vap;

pub use facts::Variable;
pub use vap::{Export, PolicyObject, Unwritten, Validation, vap};

use table::{How, TABLE};

/// Whether CEL can say exactly what a rule says.
pub fn is_expressible(rule: &str) -> bool {
    matches!(how(rule), Some(How::Cel(_)))
}

/// Why CEL cannot say what a rule says, as the end of a sentence that begins with the rule; `None` where it can.
pub fn reason(rule: &str) -> Option<&'static str> {
    match how(rule) {
        Some(How::Not(reason)) => Some(reason),
        _ => None,
    }
}

fn how(rule: &str) -> Option<&'static How> {
    TABLE.iter().find(|(id, _)| *id == rule).map(|(_, how)| how)
}
