//! The policy in force.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Policy;

/// Holds the policy in force. A reader takes one `Arc` and sees exactly that policy until it is done.
#[derive(Debug)]
pub struct PolicyStore(ArcSwapOption<Policy>);

impl PolicyStore {
    /// A store that starts with this policy.
    pub fn new(policy: Policy) -> Self {
        Self(ArcSwapOption::from_pointee(policy))
    }

    /// A store whose policy has yet to be learned.
    pub fn empty() -> Self {
        Self(ArcSwapOption::empty())
    }

    /// The policy in force; `None` until the first one was learned, never again after that.
    pub fn load(&self) -> Option<Arc<Policy>> {
        self.0.load_full()
    }

    /// Puts another policy in force; requests that run keep theirs.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Some(Arc::new(policy)));
    }
}
