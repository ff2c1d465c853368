//! The wire format of `admission.k8s.io/v1`, read in one borrowed pass.

use serde::Deserialize;

use crate::model::{Json, Object, Read, Reader, Text, members, object, optional, raw, reading, text};

/// The only version and kind that is spoken.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
pub(super) const KIND: &str = "AdmissionReview";

/// A review whose object is decoded in the same pass.
#[derive(Default, Deserialize)]
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
#[derive(Default, Deserialize)]
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
    pub(super) old_object: Option<Json<'a>>,
    #[serde(borrow, default)]
    pub(super) options: Option<Json<'a>>,
    /// The object's own bytes, where the reading noted them. Not part of the JSON.
    #[serde(skip)]
    pub(super) object_text: Option<Json<'a>>,
}

/// The object decoded: the common way.
pub(super) type Decoded<'a> = Review<'a, Object<'a>>;
/// The object as its bytes: for proving that a patch applies, and for a review whose object cannot be decoded.
pub(super) type Raw<'a> = Review<'a, Json<'a>>;

/// What is left of a request once its object is taken out.
pub(super) struct NoObject;

impl<'a, O> Request<'a, O> {
    /// The request and its object.
    pub(super) fn split(self) -> (Request<'a, NoObject>, Option<O>) {
        let Self { uid, sub_resource, operation, name, namespace, object, old_object, options, object_text } = self;
        (Request { uid, sub_resource, operation, name, namespace, object: None, old_object, options, object_text }, object)
    }
}

impl<'a> Decoded<'a> {
    /// Reads a plain review; `None`: it is left to serde_json, which accepts it or says what is wrong.
    pub(super) fn read(json: &'a str) -> Option<Self> {
        Reader::whole(json, reading(review)).ok()
    }

    /// The same, and the places of all values that were skipped.
    #[cfg(test)]
    fn read_noting(json: &'a str, skipped: &mut Vec<std::ops::Range<usize>>) -> Option<Self> {
        let noting = |reader: &mut Reader<'a>| {
            let review = reading(review)(reader);
            skipped.append(&mut reader.skipped);
            review
        };
        Reader::whole(json, noting).ok()
    }
}

fn review<'a>(reader: &mut Reader<'a>, into: &mut Decoded<'a>) -> Read<()> {
    members!(reader, into, {
        "apiVersion" => api_version: optional(text),
        "kind" => kind: optional(text),
        "request" => request: optional(request),
    });
    Ok(())
}

fn request<'a>(reader: &mut Reader<'a>, into: &mut Request<'a, Object<'a>>) -> Read<()> {
    let mut object_text = None;
    members!(reader, into, {
        "uid" => uid: optional(text),
        "subResource" => sub_resource: optional(text),
        "operation" => operation: optional(text),
        "name" => name: optional(text),
        "namespace" => namespace: optional(text),
        "object" => object: |reader: &mut Reader<'a>, into: &mut Option<Object<'a>>| {
            let place = reader.place();
            optional(object)(reader, into)?;
            object_text = into.is_some().then(|| reader.since(place));
            Ok(())
        },
        "oldObject" => old_object: raw,
        "options" => options: raw,
    });
    into.object_text = object_text;
    Ok(())
}

#[cfg(test)]
mod tests;
