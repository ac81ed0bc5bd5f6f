//! From a kubeconfig to a client that neither hangs nor repeats blindly.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;

use self::{
    door::{Door, Origin},
    kubeconfig::Target,
};
use crate::{
    environment::Environment,
    error::{Error, Result},
    kubernetes::{
        credential::Plugin,
        error::cause,
        retry::{Pace, Trouble},
    },
};

pub(crate) mod door;
mod kubeconfig;
mod transport;

/// Which cluster to talk to.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// The context of `--context`, else the kubeconfig's current one.
    pub context: Option<String>,
    /// The namespace of `--namespace`, else the map's; the context's comes last.
    pub namespace: Option<String>,
}

/// Receives lines about calls that take long, such as "the API server has not answered for 12 s".
pub type Notices = Arc<dyn Fn(String) + Send + Sync>;

/// A cluster, one namespace of it, and how patient to be with it.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: kube::Client,
    pub(crate) notices: Notices,
    /// Namespace that everything happens in.
    pub namespace: String,
    /// Address of the API server, as the kubeconfig has it.
    pub server: String,
    /// Name of the kubeconfig's context; none inside a pod.
    pub context: Option<String>,
    contexts: Arc<[(String, String)]>,
    /// None around a client that was made elsewhere.
    pub(crate) door: Option<Door>,
    pub(crate) trouble: Arc<Trouble>,
    /// What slows down a follower; none for commands that ask once.
    pub(crate) pace: Option<Arc<Pace>>,
}

/// A difference of clocks up to here is taken for none.
const CLOCK_NOISE_SECONDS: i64 = 5;

impl Cluster {
    /// Connects to the cluster of the kubeconfig, else to the one that this pod runs in. Makes no request.
    #[expect(clippy::unused_async, reason = "kube's client starts a task and so needs a runtime; callers rely on this")]
    pub async fn connect(options: &ConnectOptions, environment: &Environment, notices: Notices) -> Result<Self> {
        let Target { config, plugin, proxy, context, server, namespace, contexts } =
            kubeconfig::choose(options, environment, Path::new(kubeconfig::SERVICE_ACCOUNT))?;
        let plugin = plugin.map(|plugin| Plugin::new(plugin, &environment.variables));
        let origin = Origin { server: server.clone(), context: context.clone() };
        let door = Door::new(config, proxy, plugin, origin).map_err(unusable)?;
        let client = kube::Client::new(door.clone(), &namespace);
        Ok(Self { client, notices, namespace, server, context, contexts: contexts.into(), door: Some(door), trouble: Arc::default(), pace: None })
    }

    /// Returns a cluster around a client made elsewhere, without notices.
    #[must_use]
    pub fn from_client(client: kube::Client, namespace: impl Into<String>) -> Self {
        Self {
            client,
            notices: Arc::new(|_| ()),
            namespace: namespace.into(),
            server: String::new(),
            context: None,
            contexts: Arc::new([]),
            door: None,
            trouble: Arc::default(),
            pace: None,
        }
    }

    /// Returns the same cluster for a follower, who asks again and again and is to ask no more than `pace` lets through.
    #[must_use]
    pub fn paced(&self, pace: Arc<Pace>) -> Self {
        Self { pace: Some(pace), ..self.clone() }
    }

    /// Returns every context of the kubeconfig with the address of its API server; empty inside a pod.
    #[must_use]
    pub fn contexts(&self) -> &[(String, String)] {
        &self.contexts
    }

    /// Returns when the credentials end, when that is known and nothing renews them: a token in the kubeconfig.
    ///
    /// Those of a plugin do not count: it is run again in time. EKS tokens live for 15 min, so that a warning about
    /// them would come with every job and mean nothing.
    #[must_use]
    pub fn credential_expiry(&self) -> Option<Timestamp> {
        self.door.as_ref().and_then(Door::expiry)
    }

    /// Returns how often the server asked for a pause so far: whoever sends much then sends less.
    #[must_use]
    pub fn pauses(&self) -> usize {
        self.door.as_ref().map_or(0, Door::pauses)
    }

    /// Returns the time by the server's clock, as far as its answers tell: what it wrote down is compared with this and not with
    /// the clock of a laptop that has just woken up. Differences of a few seconds are the header's rounding and count as none.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        let ahead = self.door.as_ref().map_or(0, Door::seconds_ahead);
        let ahead = if ahead.abs() <= CLOCK_NOISE_SECONDS { 0 } else { ahead };
        crate::environment::now().checked_add(jiff::SignedDuration::from_secs(ahead)).unwrap_or_else(|_| crate::environment::now())
    }

    /// Returns a typed API of the namespace.
    #[must_use]
    pub fn api<K>(&self) -> kube::Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        kube::Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Returns what it means that no connection can even be prepared.
fn unusable(error: kube::Error) -> Error {
    match error {
        kube::Error::InferKubeconfig(error) => kubeconfig::explain_loading(error),
        kube::Error::RustlsTls(error) => Error::not_allowed("the certificates of the kubeconfig cannot be used").caused_by(error),
        kube::Error::Auth(error) => Error::not_allowed("the credentials of the kubeconfig cannot be used").caused_by(error),
        error => Error::rejected(format!("the kubeconfig cannot be used: {}", cause::cause(&error))),
    }
}

#[cfg(test)]
mod tests;
