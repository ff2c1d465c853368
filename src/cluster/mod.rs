//! The cluster as a client sees it. Nothing here stands on the way of a request: what is learned is put where requests read it.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub mod config_map;
pub mod event;
pub mod pause;
pub mod verify;
pub mod workloads;

/// How long a connection to the API server may take. It is either near or away; retries come with a pause of their own.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no cluster to talk to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a service account nor a kubeconfig.
    #[error("no cluster is configured: run in a pod with a service account, set KUBECONFIG, or write ~/.kube/config ({0})")]
    NoConfiguration(kube::config::KubeconfigError),
    /// The configuration names things that cannot be used.
    #[error("the cluster's configuration cannot be used: {0}")]
    Unusable(kube::Error),
}

/// A client of the configured cluster, found as every client finds it: the service account of the pod, else `KUBECONFIG`, else `~/.kube/config`.
/// Does not connect yet.
pub async fn client() -> Result<Client, ConnectError> {
    let mut config = match Config::incluster() {
        Ok(config) => config,
        Err(_) => from_kubeconfig().await.map_err(ConnectError::NoConfiguration)?,
    };
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config).map_err(ConnectError::Unusable)
}

async fn from_kubeconfig() -> Result<Config, kube::config::KubeconfigError> {
    Config::from_custom_kubeconfig(Kubeconfig::read()?, &KubeConfigOptions::default()).await
}

/// An error in plain words, each cause once: the client's own texts repeat theirs, and the API server's answer stands in them twice.
pub fn plain(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
