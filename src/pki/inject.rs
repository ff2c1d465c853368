//! The bundle in a webhook configuration: reading it, and writing it field by field.
//!
//! It is written by a JSON patch of `/webhooks/<n>/clientConfig/caBundle`, bound to the resourceVersion that was read. Server-side apply would name
//! the entries and so bring back, incomplete, one that its owner has removed; a merge by name may reorder them; an update sends back everything.
//! This touches one field of an entry that is known to be there, and whoever renders the configuration (which leaves that field out) never
//! sees a difference.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, ReplaceOperation};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::Notify;

use super::assess::{Published, Side};
use super::certificate::{Bundle, Certificate, to_pem};
use super::keep::{said, watch};

/// Under which name our changes stand in `managedFields`.
pub const FIELD_MANAGER: &str = "probekeeper";

/// A namespaced name, as `probekeeper-system/probekeeper`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacedName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl NamespacedName {
    /// Reads `NAMESPACE/NAME`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if is_label(namespace) && !name.is_empty() && name.split('.').all(is_label) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("`{text}` is not a namespace and a name; write them as NAMESPACE/NAME")),
        }
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// One configuration at the API server, of which the bundles are kept.
#[derive(Debug, Clone)]
pub struct Configuration {
    api: Api<DynamicObject>,
    side: Side,
    name: String,
    service: Option<NamespacedName>,
}

/// A configuration as it was read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Its bundles.
    pub published: Published,
    resource_version: String,
    /// Position of each entry that is ours.
    positions: Vec<usize>,
}

impl Configuration {
    /// The configuration of this name. All its entries are ours but those that name another Service than `service`.
    pub fn new(client: Client, side: Side, name: String, service: Option<NamespacedName>) -> Self {
        let kind = match side {
            Side::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
            Side::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        };
        Self { api: Api::all_with(client, &kind), side, name, service }
    }

    /// Which one.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Wakes `changed` whenever the configuration changes.
    pub(super) fn watch(&self, changed: &Arc<Notify>) {
        let client = self.api.clone().into_client();
        match self.side {
            Side::Validating => watch::<ValidatingWebhookConfiguration>(Api::all(client), &self.name, changed),
            Side::Mutating => watch::<MutatingWebhookConfiguration>(Api::all(client), &self.name, changed),
        }
    }

    /// As messages name it.
    pub fn title(&self) -> String {
        format!("the {} webhook configuration {}", self.side.name(), self.name)
    }

    /// Reads it from the API server, not from a cache; an error says what could not be read.
    pub async fn reading(&self) -> Result<Reading, String> {
        self.read().await.map_err(|error| format!("cannot read {}: {}", self.title(), said(&error)))
    }

    async fn read(&self) -> Result<Reading, kube::Error> {
        let Some(object) = self.api.get_opt(&self.name).await? else {
            let published = Published { side: self.side, bundles: None };
            return Ok(Reading { published, resource_version: String::new(), positions: Vec::new() });
        };
        let (positions, bundles) = entries(&object.data, self.service.as_ref()).into_iter().unzip();
        Ok(Reading {
            published: Published { side: self.side, bundles: Some(bundles) },
            resource_version: object.metadata.resource_version.unwrap_or_default(),
            positions,
        })
    }

    /// Gives every entry of ours this bundle, if nothing has changed since `reading`.
    pub async fn publish(&self, reading: &Reading, bundle: &[Certificate]) -> Result<(), kube::Error> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = patch(&reading.resource_version, &reading.positions, bundle);
        self.api.patch(&self.name, &params, &Patch::Json::<()>(patch)).await?;
        Ok(())
    }
}

/// Position and bundle of each entry that is ours: the configuration was named to us, so all are, also those that go by `url`; but an entry
/// that names another Service was put there by somebody else, and its server has another authority.
fn entries(configuration: &Value, service: Option<&NamespacedName>) -> Vec<(usize, Bundle)> {
    let all = configuration["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = all.iter().enumerate().filter(|(_, entry)| {
        let (named, Some(service)) = (&entry["clientConfig"]["service"], service) else { return true };
        named.is_null() || (named["namespace"] == *service.namespace && named["name"] == *service.name)
    });
    let bundle = |entry: &Value| match entry["clientConfig"]["caBundle"].as_str().map(|text| STANDARD.decode(text)) {
        None => Bundle::default(),
        Some(Ok(pem)) => Bundle::from_pem(&pem),
        Some(Err(_)) => Bundle { littered: true, ..Bundle::default() },
    };
    ours.map(|(position, entry)| (position, bundle(entry))).collect()
}

fn patch(resource_version: &str, positions: &[usize], bundle: &[Certificate]) -> json_patch::Patch {
    let bundle = Value::String(STANDARD.encode(to_pem(bundle)));
    // Replacing the version by itself is how a JSON patch is bound to it: another one in the meantime is a conflict.
    let bound = PatchOperation::Replace(ReplaceOperation {
        path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
        value: Value::String(resource_version.to_owned()),
    });
    let set = positions.iter().map(|position| {
        let position = position.to_string();
        let path = PointerBuf::from_tokens(["webhooks", &position, "clientConfig", "caBundle"]);
        PatchOperation::Add(AddOperation { path, value: bundle.clone() })
    });
    json_patch::Patch(std::iter::once(bound).chain(set).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::issue;
    use serde_json::json;
    use std::time::{Duration, SystemTime};

    #[test]
    fn entries_are_ours_unless_they_name_another_service() {
        let authority = issue::authority(Duration::from_hours(1), SystemTime::UNIX_EPOCH + Duration::from_hours(9)).unwrap();
        let certificates = vec![authority.certificate().clone()];
        let service = |namespace, name| json!({ "namespace": namespace, "name": name, "path": "/validate" });
        let mut configuration = json!({
            "metadata": { "name": "probekeeper", "resourceVersion": "7" },
            "webhooks": [
                { "name": "a", "clientConfig": { "service": service("pk", "probekeeper") } },
                { "name": "b", "clientConfig": { "service": service("other", "probekeeper"), "caBundle": "b3RoZXI=" } },
                { "name": "c", "clientConfig": { "url": "https://x/", "caBundle": STANDARD.encode(to_pem(&certificates)) } },
                { "name": "d", "clientConfig": { "service": service("pk", "probekeeper"), "caBundle": "Cg==" } },
            ],
        });
        let ours = NamespacedName::parse("pk/probekeeper").unwrap();
        let read = entries(&configuration, Some(&ours));
        let expected = [(0, Bundle::default()), (2, Bundle { certificates: certificates.clone(), littered: false })];
        assert_eq!(read[..2], expected);
        assert_eq!((read[2].0, read.len()), (3, 3));
        assert_eq!(entries(&configuration, None).len(), 4);
        assert_eq!(entries(&json!({}), None), vec![]);

        let before = configuration.clone();
        json_patch::patch(&mut configuration, &patch("7", &[0, 2, 3], &certificates)).unwrap();
        let mut expected = before;
        for position in [0, 2, 3] {
            expected["webhooks"][position]["clientConfig"]["caBundle"] = json!(STANDARD.encode(to_pem(&certificates)));
        }
        assert_eq!(configuration, expected, "nothing else was touched");
    }

    #[test]
    fn names() {
        let parsed = NamespacedName::parse("probekeeper-system/probekeeper.ca").unwrap();
        assert_eq!((parsed.namespace.as_str(), parsed.name.as_str()), ("probekeeper-system", "probekeeper.ca"));
        for text in ["", "/", "a", "a/", "/b", "a/b/c", "A/b", "a.b/c", "a/-b", "a/b."] {
            assert!(NamespacedName::parse(text).is_err(), "{text}");
        }
    }
}
