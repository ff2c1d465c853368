//! AdmissionReview in, AdmissionReview out. The only module that knows the wire format; it does no I/O and never waits.

use std::borrow::Cow;

mod change;
mod config_map;
mod handler;
mod response;
mod review;

pub use handler::Admission;

/// What the API server asked for: each question has a path of its own, because a patch in a validating answer is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `POST /validate`: judge the object as it came.
    Validate,
    /// `POST /mutate`: fill in what the author left out.
    Mutate,
    /// `POST /policy`: judge a ConfigMap that holds a policy.
    Policy,
}

impl Route {
    /// The URL path, also the value of the metric label `path`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Validate => "/validate",
            Self::Mutate => "/mutate",
            Self::Policy => "/policy",
        }
    }

    /// The route of a URL path (without its query), if it is one of ours.
    pub fn from_path(path: &str) -> Option<Self> {
        match path {
            "/validate" => Some(Self::Validate),
            "/mutate" => Some(Self::Mutate),
            "/policy" => Some(Self::Policy),
            _ => None,
        }
    }
}

/// One finished answer: what goes on the wire, and what to count and log about it.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status code. Anything but 200 makes the API server apply the webhook's `failurePolicy`.
    pub status: u16,
    /// JSON body.
    pub body: Vec<u8>,
    /// What happened, for metrics and the log. No values of the object but its kind, namespace and name.
    pub outcome: Outcome,
}

/// What to count and log about one answer. Label values come from closed sets: any pod can post to the webhook port.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`, or `other`.
    pub operation: &'static str,
    /// A kind that is checked (`Deployment`, or one that the policy adds), or `other`.
    pub kind: Cow<'static, str>,
    /// `allowed`, `warned`, `denied`, `patched`, `error`.
    pub verdict: &'static str,
    /// Rule identifier and action (`deny`, `warn`, `audit`) of each finding.
    pub findings: Vec<(&'static str, &'static str)>,
    /// Rule of each finding that is right there, by the policy or the annotation.
    pub exempted: Vec<&'static str>,
    /// Name of each field that was filled in, as `livenessProbe.timeoutSeconds`.
    pub filled: Vec<&'static str>,
    /// Rules that failed (panicked) on this object.
    pub rule_errors: Vec<&'static str>,
    /// Why the request could not be judged, in plain words; never part of the object.
    pub error: Option<String>,
    /// `namespace/name` of the object, for the log only.
    pub object: String,
    /// Request uid, for the log only.
    pub uid: String,
    /// Hash of the policy that judged, for the log only.
    pub policy: String,
}
