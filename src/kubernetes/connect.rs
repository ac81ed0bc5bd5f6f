//! From a kubeconfig to a client that neither hangs nor repeats blindly.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{environment::Environment, error::Result};

/// Which cluster to talk to.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// The context of `--context`, else the kubeconfig's current one.
    pub context: Option<String>,
    /// The namespace of `--namespace`, else the map's; the context's comes last.
    pub namespace: Option<String>,
}

/// Receives lines about calls that take long, such as "the API server does not answer since 12 s".
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
}

impl Cluster {
    /// Connects to the cluster of the kubeconfig, else to the one that this pod runs in. Makes no request.
    pub async fn connect(options: &ConnectOptions, environment: &Environment, notices: Notices) -> Result<Self> {
        let _ = (options, environment, notices);
        Err(crate::error::Error::internal("not written yet"))
    }

    /// Returns a cluster around a client made elsewhere, without notices.
    #[must_use]
    pub fn from_client(client: kube::Client, namespace: impl Into<String>) -> Self {
        Self { client, notices: Arc::new(|_| ()), namespace: namespace.into(), server: String::new(), context: None, contexts: Arc::new([]) }
    }

    /// Returns every context of the kubeconfig with the address of its API server; empty inside a pod.
    #[must_use]
    pub fn contexts(&self) -> &[(String, String)] {
        &self.contexts
    }

    /// Returns when the credentials end, when that is known and nothing renews them.
    #[must_use]
    pub fn credential_expiry(&self) -> Option<Timestamp> {
        None
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
