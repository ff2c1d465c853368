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
}

/// The object decoded: the common way.
pub(super) type Decoded<'a> = Review<'a, Object<'a>>;
/// The object as its bytes: for proving that a patch applies, and for a review whose object cannot be decoded.
pub(super) type Raw<'a> = Review<'a, &'a RawValue>;

/// The pod template's bytes, to see whether an UPDATE changed it.
#[derive(Deserialize)]
pub(super) struct TemplateOnly<'a> {
    #[serde(borrow, default)]
    spec: Option<TemplateSpec<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TemplateSpec<'a> {
    #[serde(borrow, default)]
    template: Option<&'a RawValue>,
    #[serde(borrow, default)]
    job_template: Option<&'a RawValue>,
}

impl<'a> TemplateOnly<'a> {
    fn text(&self) -> Option<&'a str> {
        let spec = self.spec.as_ref()?;
        spec.template.or(spec.job_template).map(RawValue::get)
    }
}

/// Whether two objects have the same pod template. The API server serialises both the same way, so the bytes tell; what cannot be read counts as the
/// same, because a template that did not change is never patched.
pub(super) fn same_template(new: &RawValue, old: &RawValue) -> bool {
    let read = |raw| -> Option<TemplateOnly<'_>> { serde_json::from_str(RawValue::get(raw)).ok() };
    match (read(new), read(old)) {
        (Some(new), Some(old)) => new.text() == old.text(),
        _ => true,
    }
}
