//! The policy in force.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Policy;

/// Holds the policy in force. A reader takes one `Arc` and sees exactly that policy until it is done.
#[derive(Debug)]
pub struct PolicyStore(ArcSwap<Policy>);

impl PolicyStore {
    /// A store that starts with this policy.
    pub fn new(policy: Policy) -> Self {
        Self(ArcSwap::from_pointee(policy))
    }

    /// The policy in force.
    pub fn load(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts another policy in force; requests that run keep theirs.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }
}
