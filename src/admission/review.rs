//! The wire format of `admission.k8s.io/v1`, read in one borrowed pass.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Object, Text};

/// The only version and kind that is spoken.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
pub(super) const KIND: &str = "AdmissionReview";

/// A review whose object is decoded in the same pass.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Review<'a, O> {
    #[serde(borrow, default)]
    pub(super) api_version: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow = "'a", default = "Option::default", bound(deserialize = "O: Deserialize<'de>"))]
    pub(super) request: Option<Request<'a, O>>,
}

/// What the API server asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a, O> {
    #[serde(borrow, default)]
    pub(super) uid: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) sub_resource: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) operation: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) namespace: Option<Text<'a>>,
    #[serde(default = "Option::default", bound(deserialize = "O: Deserialize<'de>"))]
    pub(super) object: Option<O>,
    /// Left raw: most answers do not need it.
    #[serde(borrow, default)]
    pub(super) old_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) options: Option<&'a RawValue>,
}

/// The object decoded: the common way.
pub(super) type Decoded<'a> = Review<'a, Object<'a>>;
/// The object as its bytes: for proving that a patch applies, and for a review whose object cannot be decoded.
pub(super) type Raw<'a> = Review<'a, &'a RawValue>;

/// What is left of a request once its object is taken out.
pub(super) struct NoObject;

impl<'a, O> Request<'a, O> {
    /// The request and its object.
    pub(super) fn split(self) -> (Request<'a, NoObject>, Option<O>) {
        let Self { uid, sub_resource, operation, name, namespace, object, old_object, options } = self;
        (Request { uid, sub_resource, operation, name, namespace, object: None, old_object, options }, object)
    }
}
