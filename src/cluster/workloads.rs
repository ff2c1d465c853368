//! Every workload of a cluster, read once, page by page.

use std::collections::HashSet;
use std::time::Duration;

use kube::api::ListParams;
use kube::core::Request;
use kube::{Client, Error};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ConnectError, client, plain};
use crate::model::{Kind, Kinds};
use crate::policy::{EXCLUDED_NAMESPACES, IGNORE_LABEL};

/// Objects in one answer, as many as kubectl asks for.
const PAGE: u32 = 500;

/// How long one answer may take. A page of large objects takes a second or two.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a cluster was not read as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Nowhere to ask.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No thread or socket to ask with.
    #[error("cannot start to talk to the cluster: {0}")]
    Start(#[from] std::io::Error),
    /// What could not be listed, and why: a line for each resource.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

/// What is listed.
struct Resource {
    api_version: String,
    kind: String,
    plural: String,
    /// Whether the cluster may not have it.
    custom: bool,
}

impl Resource {
    /// As kubectl names it: `deployments.apps`.
    fn name(&self) -> String {
        match self.api_version.rsplit_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural),
            None => self.plural.clone(),
        }
    }

    fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') { "apis" } else { "api" };
        let namespace = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
        format!("/{root}/{}/{namespace}{}", self.api_version, self.plural)
    }
}

/// A page, as far as it matters.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

/// Shows every object of these kinds as JSON: kind by kind, each in the API server's order, which is that of namespaces and names. Without a namespace,
/// those that registrations leave alone are left out; so are objects that are being deleted, of which no webhook hears as a whole. Gives the resources
/// that the cluster does not have.
///
/// It needs the verb `list` on each resource and, without a namespace, on namespaces.
///
/// # Errors
///
/// What could be listed has been shown by then.
pub fn each(kinds: &Kinds, namespace: Option<&str>, see: &mut dyn FnMut(&str)) -> Result<Vec<String>, ListError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client().await?;
        let mut refused = Vec::new();
        let mut left_alone = HashSet::new();
        if namespace.is_none() {
            let of = Resource { api_version: "v1".into(), kind: "Namespace".into(), plural: "namespaces".into(), custom: false };
            let selected = ListParams::default().labels(IGNORE_LABEL);
            let mut take = |item: Value| left_alone.extend(item["metadata"]["name"].as_str().map(str::to_owned));
            if let Err(error) = list(&client, &of, None, selected, &mut take).await {
                refused.push(said(&of, None, &error)?);
            }
        }
        let mut absent = Vec::new();
        for of in resources(kinds) {
            let mut selected = ListParams::default();
            if namespace.is_none() {
                let fields: Vec<String> =
                    EXCLUDED_NAMESPACES.iter().map(|excluded| format!("metadata.namespace!={excluded}")).collect();
                selected = selected.fields(&fields.join(","));
            }
            let mut take = |mut item: Value| {
                let metadata = &item["metadata"];
                let is_left_alone = metadata["namespace"].as_str().is_some_and(|namespace| left_alone.contains(namespace));
                if is_left_alone || !metadata["deletionTimestamp"].is_null() {
                    return;
                }
                // The items of a list do not say what they are.
                item["apiVersion"] = json!(of.api_version);
                item["kind"] = json!(of.kind);
                see(&item.to_string());
            };
            match list(&client, &of, namespace, selected, &mut take).await {
                Ok(()) => {}
                Err(Failed::Answer(Error::Api(status))) if of.custom && status.code == 404 => absent.push(of.name()),
                Err(error) => refused.push(said(&of, namespace, &error)?),
            }
        }
        if refused.is_empty() { Ok(absent) } else { Err(ListError::Refused(refused)) }
    })
}

fn resources(kinds: &Kinds) -> Vec<Resource> {
    let built_in = Kind::ALL.into_iter().map(|kind| Resource {
        api_version: if kind.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group()) },
        kind: kind.name().to_owned(),
        plural: kind.resource(),
        custom: false,
    });
    let custom = kinds.custom().map(|custom| Resource {
        api_version: custom.api_version.clone(),
        kind: custom.kind.clone(),
        plural: custom.resource.clone(),
        custom: true,
    });
    built_in.chain(custom).collect()
}

enum Failed {
    Answer(Error),
    Late,
}

async fn list(
    client: &Client,
    of: &Resource,
    namespace: Option<&str>,
    selected: ListParams,
    see: &mut dyn FnMut(Value),
) -> Result<(), Failed> {
    let request = Request::new(of.path(namespace));
    let mut params = selected.limit(PAGE);
    loop {
        let asked = request.list(&params).map_err(|error| Failed::Answer(Error::BuildRequest(error)))?;
        let page: Page = timeout(PATIENCE, client.request(asked)).await.map_err(|_| Failed::Late)?.map_err(Failed::Answer)?;
        page.items.into_iter().for_each(&mut *see);
        if page.metadata.next.is_empty() {
            return Ok(());
        }
        params = params.continue_token(&page.metadata.next);
    }
}

/// What could not be listed and why, and what to do. An error that every other resource would meet too ends it at once.
fn said(of: &Resource, namespace: Option<&str>, error: &Failed) -> Result<String, ListError> {
    let place = namespace.map_or_else(|| "in all namespaces".to_owned(), |namespace| format!("in namespace {namespace}"));
    let place = if of.kind == "Namespace" { String::new() } else { format!(" {place}") };
    let cannot = format!("cannot list {}{place}", of.name());
    match error {
        Failed::Answer(Error::Api(status)) if status.code == 403 => {
            Ok(format!("{cannot}: the verb list on {} is not granted{place}: {}", of.name(), status.message))
        }
        Failed::Answer(error @ Error::Api(_)) => Ok(format!("{cannot}: {}", plain(error))),
        Failed::Answer(error) => Err(ListError::Refused(vec![format!("{cannot}: {}", plain(error))])),
        Failed::Late => Err(ListError::Refused(vec![format!("{cannot}: no answer within {} s", PATIENCE.as_secs())])),
    }
}
