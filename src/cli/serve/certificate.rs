//! Where the served certificate comes from, and who keeps its CA known to the API servers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};

use crate::cli::write_file;
use crate::cluster;
use crate::lifecycle::{Gate, Gates};
use crate::pki::assess::{Lifetimes, Side};
use crate::pki::inject::{Configuration, NamespacedName};
use crate::pki::issue;
use crate::pki::keep::{Gating, Keeper, Settings};
use crate::pki::publish::{Publisher, Trusted};
use crate::quantity;
use crate::server::clients::Clients;
use crate::server::tls::{Follow, Instead, Pair, PairFiles, Served};
use crate::telemetry::metrics::Metrics;

/// How often a certificate on disk is compared. File watches miss the kubelet's swap of a symlinked folder; Secrets take a minute to arrive.
const FILE_POLL: Duration = Duration::from_secs(10);

/// Flags of the served certificate.
#[derive(Debug, clap::Args)]
pub struct CertificateArgs {
    /// Certificate: self-signed (for development), files:CERT,KEY or managed:NAMESPACE/SECRET (a CA of its own, kept in that Secret)
    #[arg(long, env = "PROBEKEEPER_TLS", default_value = "self-signed", value_name = "SOURCE", value_parser = TlsSource::parse)]
    pub tls: TlsSource,
    /// Where to write the PEM certificate of the self-signed authority
    #[arg(long, env = "PROBEKEEPER_CA_OUT", value_name = "FILE")]
    pub ca_out: Option<PathBuf>,
    /// The Service through which API servers come: managed certificates are issued for it, and the CA is published only for its webhooks
    #[arg(long, env = "PROBEKEEPER_SERVICE", value_name = "NAMESPACE/NAME", value_parser = NamespacedName::parse)]
    pub service: Option<NamespacedName>,
    /// A further name or address of managed certificates, for webhooks that are reached by url
    #[arg(long, value_name = "NAME")]
    pub certificate_name: Vec<String>,
    /// The ValidatingWebhookConfiguration in which the CA is kept
    #[arg(long, env = "PROBEKEEPER_VALIDATING_CONFIGURATION", value_name = "NAME")]
    pub validating_configuration: Option<String>,
    /// The MutatingWebhookConfiguration in which the CA is kept
    #[arg(long, env = "PROBEKEEPER_MUTATING_CONFIGURATION", value_name = "NAME")]
    pub mutating_configuration: Option<String>,
    /// With files: the CA of the certificate, to be kept in the webhook configurations
    #[arg(long, env = "PROBEKEEPER_PUBLISH_CA", value_name = "FILE")]
    pub publish_ca: Option<PathBuf>,
    /// Let in only clients with a certificate that a CA in this file signed, followed without a restart
    #[arg(long, env = "PROBEKEEPER_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// With --client-ca: a common name that is let in; may be repeated. Without it every certificate of that CA is good
    #[arg(long, value_name = "NAME", requires = "client_ca")]
    pub client_subject: Vec<String>,
    /// Life of a managed CA; the next one is made after two thirds
    #[arg(long, hide = true, default_value = "8760h", value_name = "DURATION", value_parser = quantity::duration)]
    pub ca_lifetime: Duration,
    /// Life of a managed certificate; renewed after two thirds
    #[arg(long, hide = true, default_value = "168h", value_name = "DURATION", value_parser = quantity::duration)]
    pub leaf_lifetime: Duration,
    /// From when a CA is published until it is used
    #[arg(long, hide = true, default_value = "10m", value_name = "DURATION", value_parser = quantity::duration)]
    pub rotation_overlap: Duration,
    /// Longest time between two looks at the Secret, the webhook configurations or the files
    #[arg(long, hide = true, value_name = "DURATION", value_parser = quantity::duration)]
    pub certificate_check: Option<Duration>,
}

/// Where the served certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSource {
    /// Made at start, for development.
    SelfSigned,
    /// Two files that somebody else renews.
    Files(PairFiles),
    /// Signed by a CA in this Secret, which all replicas share and keep.
    Managed(NamespacedName),
}

impl TlsSource {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "self-signed" {
            return Ok(Self::SelfSigned);
        }
        if let Some(secret) = text.strip_prefix("managed:") {
            return NamespacedName::parse(secret).map(Self::Managed);
        }
        let files = text.strip_prefix("files:").and_then(|files| files.split_once(','));
        match files {
            Some((certificate, key)) if !certificate.is_empty() && !key.is_empty() => {
                Ok(Self::Files(PairFiles { certificate: certificate.into(), key: key.into() }))
            }
            _ => Err("write it as self-signed, files:CERT,KEY or managed:NAMESPACE/SECRET".to_owned()),
        }
    }
}

/// The flags that go together do, or an error says which are missing.
fn check(args: &CertificateArgs) -> anyhow::Result<()> {
    let configurations = args.validating_configuration.is_some() || args.mutating_configuration.is_some();
    let named = "name them with --validating-configuration and --mutating-configuration";
    match (&args.tls, &args.publish_ca) {
        (TlsSource::Managed(_), Some(_)) => {
            bail!("--publish-ca goes with --tls files:CERT,KEY; a managed CA is published by itself")
        }
        (TlsSource::Managed(_), None) => {
            if args.service.is_none() && args.certificate_name.is_empty() {
                bail!("--tls managed: needs --service NAMESPACE/NAME: the certificate is issued for its names");
            }
            if !configurations {
                bail!("--tls managed: needs to know the webhook configurations in which its CA is to be published; {named}");
            }
            args.lifetimes().check().map_err(anyhow::Error::msg)
        }
        (TlsSource::Files(_), Some(_)) if !configurations => {
            bail!("--publish-ca needs to know the webhook configurations in which to publish; {named}")
        }
        (TlsSource::SelfSigned, Some(_)) => bail!("--publish-ca goes with --tls files:CERT,KEY"),
        (_, None) if configurations => {
            bail!(
                "nothing is published in the webhook configurations; use --tls managed:NAMESPACE/SECRET, or --tls files:CERT,KEY with --publish-ca FILE"
            )
        }
        _ => Ok(()),
    }
}

impl CertificateArgs {
    /// What is served at first. Nothing yet if the certificate comes from the cluster.
    pub(super) fn start(&self, metrics: &Arc<Metrics>) -> anyhow::Result<Served> {
        check(self)?;
        let mut served = Served::empty(Arc::clone(metrics));
        if let Some(file) = &self.client_ca {
            served = served.only_to(Clients::from_file(file.clone(), self.client_subject.clone())?);
        }
        let pair = match &self.tls {
            TlsSource::Managed(_) => return Ok(served),
            TlsSource::Files(files) => Pair::from_files(files)?,
            TlsSource::SelfSigned => {
                let issued = issue::development(None, SystemTime::now()).context("cannot make a certificate")?;
                if let Some(path) = &self.ca_out {
                    write_file(path, &issued.authority).context("--ca-out")?;
                }
                Pair::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes(), ("the certificate", "its key"))?
            }
        };
        served.swap(pair);
        Ok(served)
    }

    /// Keeps the certificate for as long as the process runs, and opens the gates of readiness that depend on it.
    pub(super) async fn keep(
        &self,
        served: Served,
        listening: SocketAddr,
        gates: &Gates,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<()> {
        let certificate = gates.add("certificate", "no certificate yet");
        let own_port = gates.add("own-port", "the TLS port has not been seen to serve the certificate");
        if let Some(clients) = served.clients() {
            let interval = self.certificate_check.unwrap_or(FILE_POLL);
            tokio::spawn(clients.clone().follow(interval, Arc::clone(metrics)));
        }
        match &self.tls {
            TlsSource::SelfSigned => {
                certificate.open();
                tokio::spawn(served.keep(listening, own_port, None));
            }
            TlsSource::Files(files) => {
                let trusted = Trusted::default();
                let follow = self.follow(files, certificate, &trusted);
                if let Some(file) = &self.publish_ca {
                    let published = gates.add("published-ca", "the CA has not been seen in every webhook configuration");
                    self.publish(file, published, &served, trusted).await?;
                }
                tokio::spawn(served.keep(listening, own_port, Some(follow)));
            }
            TlsSource::Managed(secret) => {
                let client = cluster::client().await?;
                let names = self.service.iter().flat_map(|service| issue::service_names(&service.namespace, &service.name));
                let settings = Settings {
                    secret: secret.clone(),
                    names: names.chain(self.certificate_name.iter().cloned()).collect(),
                    lifetimes: self.lifetimes(),
                    check: self.certificate_check.unwrap_or(Duration::from_mins(1)),
                };
                let configurations = self.configurations(&client);
                let keeper = Keeper::new(client, configurations, settings, served, Arc::clone(metrics));
                tokio::spawn(keeper.run(Gating { certificate, own_port, listening }));
            }
        }
        Ok(())
    }

    fn lifetimes(&self) -> Lifetimes {
        Lifetimes { authority: self.ca_lifetime, leaf: self.leaf_lifetime, overlap: self.rotation_overlap }
    }

    fn follow(&self, files: &PairFiles, certificate: Gate, trusted: &Trusted) -> Follow {
        let (published, trusted) = (self.publish_ca.clone(), Arc::clone(trusted));
        Follow {
            files: files.clone(),
            interval: self.certificate_check.unwrap_or(FILE_POLL),
            admissible: Arc::new(move |pair, instead| {
                let Some(file) = &published else { return Ok(()) };
                let trusted = trusted.load();
                if !trusted.holds(pair.chain()) {
                    let file = file.display();
                    return Err(format!(
                        "the certificate is not signed by a CA that every webhook configuration holds; {file} is published"
                    ));
                }
                if instead == Instead::OfGood && !trusted.has_settled(pair.chain()) {
                    return Err("its CA has just been published; API servers learn of it a little later".to_owned());
                }
                Ok(())
            }),
            certificate,
        }
    }

    async fn publish(&self, file: &std::path::Path, gate: Gate, served: &Served, trusted: Trusted) -> anyhow::Result<()> {
        let client = cluster::client().await?;
        let times = (self.rotation_overlap, self.certificate_check.unwrap_or(FILE_POLL));
        let publisher = Publisher::new(file.to_owned(), self.configurations(&client), times, served.clone(), trusted)
            .map_err(anyhow::Error::msg)
            .context("--publish-ca")?;
        tokio::spawn(publisher.run(gate));
        Ok(())
    }

    fn configurations(&self, client: &kube::Client) -> Vec<Configuration> {
        let named = [(Side::Validating, &self.validating_configuration), (Side::Mutating, &self.mutating_configuration)];
        let named = named.into_iter().filter_map(|(side, name)| Some((side, name.clone()?)));
        named.map(|(side, name)| Configuration::new(client.clone(), side, name, self.service.clone())).collect()
    }
}
